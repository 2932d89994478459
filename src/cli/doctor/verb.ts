import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { Command } from "commander";
import { AtomfsError, EXIT_CODES } from "../../core/errors.ts";
import { SETTINGS_PATH } from "../../engines/setup/files.ts";
import { parseAtCreatePolicy } from "../../runtime/at-create-policy.ts";
import { findPlayer, LXC_START } from "../../runtime/ordinary-maker.ts";
import { cgroupFacts } from "../../runtime/read-host-facts.ts";
import { storeLayout } from "../../store/layout.ts";
import { Store } from "../../store/store.ts";
import { readMountinfo } from "../../sys/mountinfo.ts";
import { type Context, environment, requireRoot } from "../context.ts";
import { attempt, type Check, works } from "./check.ts";
import { checkEngines } from "./engine-checks.ts";
import { capabilityChecks, cgroupChecks, lxcChecks } from "./host-checks.ts";
import { filesystemChecks, idMapChecks, mountChecks } from "./kernel-checks.ts";
import {
  effectiveCapabilities,
  openProbeDirectory,
  probeCgroups,
  probeIdMaps,
  probeStorage,
} from "./probes.ts";
import { findPrograms, programChecks } from "./program-checks.ts";

export function registerDoctor(program: Command, context: () => Context): void {
  program
    .command("doctor")
    .description("try what will and what won't work on this machine, and say why and what to do")
    .action(() => runDoctor(context()));
}

async function runDoctor(context: Context): Promise<void> {
  requireRoot();
  const checks = [
    ...(await checkStorage(context)),
    ...(await checkCgroups()),
    ...(await checkLxc()),
    ...(await attempt("rights.capabilities", "it is not known which rights atomfs has", () => {
      const { effective, last } = effectiveCapabilities();
      return capabilityChecks(effective, last);
    })),
    ...(await checkEngines(context.signal)),
    ...(await attempt("programs.crictl", "it is not known which programs are there", async () =>
      programChecks(await findPrograms()),
    )),
    checkStoreItself(context.root),
    checkPolicy(environment("ATOMFS_CONFIG") ?? SETTINGS_PATH),
  ];
  if (checks.some(({ status }) => status === "fails")) context.setExitCode(EXIT_CODES.blocked);
  context.output.answer({ checks }, () => checksText(checks));
}

async function checkStorage(context: Context): Promise<Check[]> {
  const effect = "molecules cannot be mounted, or it is not known how";
  return attempt("kernel.container-root", effect, async () => {
    using directory = openProbeDirectory(storeLayout(context.root));
    const facts = probeStorage(directory.path);
    return [
      ...mountChecks(facts),
      ...idMapChecks(await probeIdMaps(directory.path)),
      ...filesystemChecks(facts),
    ];
  });
}

function checkCgroups(): Promise<Check[]> {
  return attempt("cgroups.layout", "no container can be started", () => {
    const facts = cgroupFacts(readMountinfo());
    return cgroupChecks(facts, probeCgroups(facts));
  });
}

function checkLxc(): Promise<Check[]> {
  return attempt("lxc.lxc-start", "crio-lxc starts no container", () => {
    const actions = "/proc/sys/kernel/seccomp/actions_avail";
    return lxcChecks({
      path: LXC_START,
      version: existsSync(LXC_START)
        ? execFileSync(LXC_START, ["--version"], { encoding: "latin1" }).trim()
        : undefined,
      player: playerProblem(),
      seccompActions: existsSync(actions) ? readFileSync(actions, "latin1").trim().split(" ") : [],
    });
  });
}

function playerProblem(): string | undefined {
  try {
    findPlayer();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function checkStoreItself(root: string): Check {
  const id = "store.state";
  if (!existsSync(storeLayout(root).meta)) {
    return {
      id,
      status: "absent",
      finding: `there is no store at ${root} yet`,
      advice: "`atomfs import` makes one",
    };
  }
  try {
    using store = Store.open(root);
    return works(id, `${store.state.images.size} image(s), ${store.state.fixes.size} fix(es) at ${root}`);
  } catch (error) {
    const hints = error instanceof AtomfsError ? error.hints : [];
    return {
      id,
      status: "fails",
      finding: error instanceof Error ? error.message : String(error),
      effect: "containers run unfixed, or not, as `on-error` in atomfs.toml says",
      ...(hints.length > 0 ? { advice: hints.join("; ") } : {}),
    };
  }
}

function checkPolicy(path: string): Check {
  const id = "store.policy";
  if (!existsSync(path)) return works(id, `${path} is not there: the defaults hold`);
  try {
    const { unknown, outdated, onError } = parseAtCreatePolicy(readFileSync(path, "utf8"), path);
    return works(id, `unknown = ${unknown}, outdated = ${outdated}, on-error = ${onError}`);
  } catch (error) {
    return {
      id,
      status: "fails",
      finding: error instanceof AtomfsError ? error.message : `${path}: ${String(error)}`,
      effect: "crio-lxc starts no container",
      advice: `correct ${path}`,
    };
  }
}

const MARKS = { works: "ok", limited: "limited", fails: "FAILS", absent: "-" } as const;

function checksText(checks: readonly Check[]): string {
  const lines = checks.flatMap(({ id, status, finding, effect, advice }) => [
    `${MARKS[status].padEnd(8)} ${id.padEnd(24)} ${finding}`,
    ...(effect === undefined ? [] : [`${" ".repeat(9)}so: ${effect}`]),
    ...(advice === undefined ? [] : [`${" ".repeat(9)}do: ${advice}`]),
  ]);
  const count = (status: Check["status"]): number => checks.filter((check) => check.status === status).length;
  return [
    ...lines,
    "",
    `${count("fails")} fail(s), ${count("limited")} limited, ${count("works")} work`,
  ].join("\n");
}
