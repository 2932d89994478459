import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { attachProcess } from "./cgroups.ts";
import { resetFailedCall, startScopeCall, stopUnitCall } from "./systemd-calls.ts";
import type { SystemdScope } from "./systemd-plan.ts";

/** What systemd itself asks before it is talked to: sd_booted(3). */
const BOOTED = "/run/systemd/system";
const BUS = "/run/dbus/system_bus_socket";
const APPEAR_MS = 10_000;
const LOOK_MS = 2;
/** Where the first process waits, inside the scope: on v2 a group that hands controllers down holds none itself. */
const WAITING_ROOM = "crio-lxc-start";

/** @throws AtomfsError "unsupported" without systemd or busctl, "failed" with what systemd says */
export function busctl(args: readonly string[]): void {
  if (!existsSync(BOOTED)) {
    throw new AtomfsError(
      "unsupported",
      "Cannot use --systemd-cgroup: this machine was not booted with systemd",
      {
        hints: ['set the engine\'s cgroup manager to "cgroupfs"'],
      },
    );
  }
  const program = Bun.which("busctl", { PATH: "/usr/bin:/bin" });
  if (program === null)
    throw new AtomfsError("unsupported", "Cannot use --systemd-cgroup: busctl(1) is not installed");
  const { exitCode, stderr } = Bun.spawnSync([program, ...args], {
    env: {},
    stdout: "ignore",
    stderr: "pipe",
  });
  if (exitCode === 0) return;
  if (!existsSync(BUS)) {
    throw new AtomfsError(
      "unsupported",
      "Cannot use --systemd-cgroup: there is no D-Bus to reach systemd by",
      {
        hints: ["apt-get install dbus"],
      },
    );
  }
  throw new AtomfsError(
    "failed",
    `systemd refuses: ${stderr.toString("utf8").trim() || `busctl ended with ${exitCode}`}`,
  );
}

/** A scope that systemd has made, kept by a process that waits in it until the container is there. */
export type StartedScope = {
  /** The container is there. */
  readonly release: () => void;
};

/**
 * A scope needs a process from its beginning to its end, and the container needs the scope before it has one.
 * @param unified where cgroup v2 is mounted
 */
export function startScope(scope: SystemdScope, unified: string | undefined): StartedScope {
  // It ends with this process, and with it the scope.
  const first = Bun.spawn(["/bin/cat"], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    env: {},
    detached: true,
  });
  const room = unified === undefined ? undefined : join(unified, scope.path, WAITING_ROOM);
  try {
    busctl(startScopeCall(scope, first.pid));
    waitInside(first.pid, scope);
    if (room !== undefined) {
      mkdirSync(room);
      attachProcess([room], first.pid);
    }
  } catch (error) {
    first.kill("SIGKILL");
    throw error;
  }
  return {
    release() {
      first.kill("SIGKILL");
      if (room !== undefined) removeWhenEmpty(room);
    },
  };
}

/** The call is answered when the job is queued, not when it is done. */
function waitInside(pid: number, { path, unit }: SystemdScope): void {
  for (const end = performance.now() + APPEAR_MS; performance.now() < end; Bun.sleepSync(LOOK_MS)) {
    if (readFileSync(`/proc/${pid}/cgroup`, "latin1").includes(`:${path}\n`)) return;
  }
  throw new AtomfsError("failed", `systemd does not make ${unit}: see its journal`);
}

function removeWhenEmpty(directory: string): void {
  for (const end = performance.now() + APPEAR_MS; performance.now() < end; Bun.sleepSync(LOOK_MS)) {
    try {
      rmdirSync(directory);
      return;
    } catch {
      // Its process has not quite gone.
    }
  }
}

/** What is in the unit has ended, so systemd may have forgotten it already. */
export function endScope(unit: string): void {
  if (!existsSync(BOOTED)) return;
  for (const args of [stopUnitCall(unit), resetFailedCall(unit)]) {
    try {
      busctl(args);
    } catch (error) {
      if (!(error instanceof AtomfsError) || !/not loaded|not found|does not exist/i.test(error.message))
        throw error;
    }
  }
}
