import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { hasCode } from "../sys/ffi.ts";
import { unmountAt } from "../sys/mount.ts";
import { openPidfd, openProcess, signalProcess, waitEnded } from "../sys/pid.ts";
import { listProcesses, removeCgroups, signalCgroups } from "./cgroups.ts";
import { removeLxcTraces } from "./launcher.ts";
import { type ContainerRecord, FILES, type Held } from "./state.ts";
import { endScope } from "./systemd-scope.ts";

const SIGKILL = 9;
const KILL_TIMEOUT_MS = 10_000;

/**
 * Ends every process of a container and waits until they have. Also of one that `create` was killed over: what it had
 * started is found by its cgroups and by the paths on its command line.
 */
export function killAll(held: Held, record: ContainerRecord | undefined): void {
  const init = record?.init;
  // A container that has a recorded init had its monitor ended before. The search looks at every process.
  if (init === undefined) killMonitors(held);
  if (record === undefined) return;
  using pidfd = init === undefined ? undefined : openProcess(init.pid, init.startTime);
  if (pidfd !== undefined) signalProcess(pidfd, SIGKILL);
  const hadProcesses = signalCgroups(record.cgroups, SIGKILL);
  if (pidfd !== undefined && !waitEnded(pidfd, KILL_TIMEOUT_MS)) {
    throw new AtomfsError("failed", `container ${record.id} does not end: pid ${init?.pid} was killed`);
  }
  if (!hadProcesses) return;
  for (const pid of listProcesses(record.cgroups)) waitGone(pid);
}

function waitGone(pid: number): void {
  if (pid === process.pid) return;
  using pidfd = openPidfd(pid);
  if (pidfd !== undefined) waitEnded(pidfd, KILL_TIMEOUT_MS);
}

/** liblxc's monitor of this container, and what it forked and that has not yet become the player. */
function killMonitors(held: Held): void {
  const lxcPath = join(held.directory, FILES.lxcPath);
  // While it forks, another look may find more.
  for (let found = monitorPids(lxcPath); found.length > 0; found = monitorPids(lxcPath)) {
    for (const pid of found) {
      using pidfd = openPidfd(pid);
      if (pidfd === undefined) continue;
      signalProcess(pidfd, SIGKILL);
      if (!waitEnded(pidfd, KILL_TIMEOUT_MS)) {
        throw new AtomfsError("failed", `lxc-start (pid ${pid}) does not end: it was killed`);
      }
    }
  }
}

function monitorPids(lxcPath: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((pid) => commandLine(pid).includes(`\0-P\0${lxcPath}\0`))
    .map(Number);
}

/** Empty for a kernel thread, a zombie, and a process that has gone. */
function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Removes what a container whose processes have ended has on the machine, but for its directory. */
export function removeResources(held: Held, record: ContainerRecord | undefined): void {
  removeLxcTraces(held.directory);
  // A container whose init is recorded has taken them.
  if (record?.init === undefined) removeHostMounts(held.directory);
  if (record === undefined) return;
  removeCgroups(record.cgroups);
  if (record.systemdUnit !== undefined) removeScope(record.systemdUnit, record);
}

/** systemd removes the scope in the hierarchies that it manages, liblxc has made it in the others. */
function removeScope(unit: string, { cgroups, cgroupPath }: ContainerRecord): void {
  endScope(unit);
  removeCgroups(
    cgroups.filter((directory) => directory.endsWith(cgroupPath)).map((directory) => dirname(directory)),
  );
}

/** What a killed `create` may have left of a filesystem on its way into the container. */
function removeHostMounts(directory: string): void {
  for (const name of readdirSync(directory).filter((one) => one.startsWith(FILES.hostMount))) {
    try {
      unmountAt(join(directory, name), { detach: true });
    } catch (error) {
      if (!hasCode(error, "EINVAL")) throw error;
    }
  }
}
