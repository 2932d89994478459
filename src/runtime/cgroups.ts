import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { hasCode } from "../sys/ffi.ts";
import { openPidfd, signalProcess } from "../sys/pid.ts";
import type { CgroupPlan } from "./cgroup-plan.ts";
import type { CgroupWrite } from "./cgroup-target.ts";
import { tryRemoveGroup, walkGroups } from "./cgroup-tree.ts";
import { readIfThere } from "./read-if-there.ts";

/**
 * Control groups as directories: a container is in one directory of each hierarchy, v1 or v2. What is decided elsewhere
 * (which directories, which values) is done here.
 */

const SIGKILL = 9;
/** The last process of a group leaves it a moment after it ended. */
const REMOVE_ATTEMPTS = 200;
const FREEZE_ATTEMPTS = 200;
const RETRY_MS = 5;
/** A group whose processes fork all the time is killed again and again; frozen ones cannot fork. */
const KILL_ROUNDS = 10;

/** Puts a process into the group in every hierarchy. */
export function attachProcess(directories: readonly string[], pid: number): void {
  for (const directory of directories) writeValue(join(directory, "cgroup.procs"), String(pid));
}

/**
 * Puts a process into a container's groups. On v2 a group that hands controllers down (systemd or another engine is in it) takes no
 * process itself: then it goes where the container's init is.
 * @param unified where cgroup v2 is mounted
 * @param procfs another than the machine's, for tests
 * @throws AtomfsError that names file and value
 */
export function attachBeside(
  init: number,
  directories: readonly string[],
  unified: string | undefined,
  pid: number,
  procfs = "/proc",
): void {
  for (const directory of directories) {
    try {
      attachProcess([directory], pid);
    } catch (error) {
      const isV2 = existsSync(join(directory, "cgroup.controllers"));
      const text = isV2 ? readIfThere(join(procfs, String(init), "cgroup")) : undefined;
      const path = /^0::(\/.*)$/m.exec(text ?? "")?.[1];
      // What is not below our own root cannot be named.
      if (unified === undefined || path === undefined || path.startsWith("/..")) throw error;
      attachProcess([join(unified, path)], pid);
    }
  }
}

/** One write(2), which is what the kernel's files want. @throws AtomfsError that names file and value */
export function writeValue(file: string, value: string): void {
  try {
    // The files exist already: creating one by a wrong name must fail.
    writeFileSync(file, value, { flag: "r+" });
  } catch (error) {
    throw new AtomfsError("failed", `Cannot write ${JSON.stringify(value)} to ${file}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** "EACCES: permission denied, write" without what is said already: engines look for the kernel's words. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /^[A-Z0-9]+: ([^,]+)/.exec(text)?.[1] ?? text;
}

/**
 * Writes a plan's values in their order.
 * @returns what was refused and is only worth a warning
 * @throws AtomfsError that names file and value
 */
export function applyWrites(writes: readonly CgroupWrite[]): string[] {
  const warnings: string[] = [];
  const again: CgroupWrite[] = [];
  for (const write of writes) {
    try {
      writeValue(write.file, write.value);
    } catch (error) {
      if (!(error instanceof AtomfsError)) throw error;
      if (write.onError === "retry") again.push(write);
      else if (write.onError === "warn") warnings.push(error.message);
      else if (write.onError === "fail" || !hasCode(error.cause, "ENOENT")) throw error;
    }
  }
  for (const { file, value } of again) writeValue(file, value);
  return warnings;
}

/**
 * v2: lets every directory above `path`, below the hierarchy's root, hand controllers down.
 * @param others handed down as far as they are there
 * @throws AtomfsError if one that is not among the others cannot be
 */
export function enableControllers(
  root: string,
  path: string,
  { controllers, otherControllers: others }: Pick<CgroupPlan, "controllers" | "otherControllers">,
): void {
  if (controllers.length + others.length === 0) return;
  const switchOn = (names: readonly string[]): string => names.map((name) => `+${name}`).join(" ");
  let at = root;
  for (const name of path.split("/").filter((part) => part !== "")) {
    const file = join(at, "cgroup.subtree_control");
    if (controllers.length > 0) writeValue(file, switchOn(controllers));
    const handed = readIfThere(file)?.split(/\s+/) ?? [];
    const missing = others.filter((each) => !handed.includes(each));
    // All at once is quick; where one cannot be had, the others still can.
    if (missing.length > 0 && !isTaken(file, switchOn(missing)))
      for (const each of missing) isTaken(file, switchOn([each]));
    at = join(at, name);
    if (at !== root + path) mkdirSync(at, { recursive: true });
  }
}

function isTaken(file: string, value: string): boolean {
  try {
    writeValue(file, value);
    return true;
  } catch (error) {
    if (error instanceof AtomfsError) return false;
    throw error;
  }
}

/** Of cgroup v2: files that whoever a group is given to may write (cgroups(7), "Delegation"). */
const DELEGATED = "/sys/kernel/cgroup/delegate";

/** v2: the group is this user's, and nobody else's, as far as the kernel lets groups be given away. @param uid the host's */
export function giveCgroup(directory: string, uid: number): void {
  const files = readIfThere(DELEGATED)?.trim().split("\n") ?? [];
  for (const file of [".", ...files]) {
    const place = join(directory, file);
    const stat = statSync(place, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    chownSync(place, uid, 0);
    // liblxc lets a group write, and read what nobody may: the group above has the kernel's own modes.
    const above = statSync(join(dirname(directory), file), { throwIfNoEntry: false });
    chmodSync(place, (above ?? stat).mode & 0o755);
  }
}

const CPUSET_FILES = ["cpuset.cpus", "cpuset.mems"] as const;

/**
 * On v1 a new cpuset is empty, and an empty one holds no process; on v2 an empty one means the parent's.
 * @param directories of a new group, one in each hierarchy
 * @returns values that it can have: those of the nearest group above it that is there; none without a v1 hierarchy for them
 */
export function inheritedCpuset(directories: readonly string[]): [file: string, value: string][] {
  return CPUSET_FILES.flatMap((name) => {
    for (const directory of directories) {
      let at = dirname(directory);
      while (!existsSync(at)) at = dirname(at);
      const value = existsSync(join(at, "cgroup.controllers")) ? "" : readIfThere(join(at, name))?.trim();
      if (value !== undefined && value !== "") return [[name, value] as [string, string]];
    }
    return [];
  });
}

/** Removes groups with all groups in them. What is not there is no error. @throws AtomfsError if one stays in use */
export function removeCgroups(directories: readonly string[]): void {
  for (const directory of directories) {
    for (let attempt = 0; !tryRemoveGroup(directory); attempt++) {
      if (attempt >= REMOVE_ATTEMPTS) {
        throw new AtomfsError("failed", `Cannot remove the control group ${directory}: it is in use`);
      }
      // Mostly it has left by the next look.
      Bun.sleepSync(Math.min(1 + attempt, RETRY_MS));
    }
  }
}

/** Pids in the group and the groups in it, ascending. A group that has gone has none. */
export function listProcesses(directories: readonly string[]): number[] {
  const found = new Set<number>();
  const visit = (group: string): void => {
    for (const line of readIfThere(join(group, "cgroup.procs"))?.split("\n") ?? []) {
      if (line !== "" && line !== "0") found.add(Number(line));
    }
  };
  for (const directory of directories) walkGroups(directory, visit);
  return [...found].sort((a, b) => a - b);
}

/**
 * Signals every process of the group, wherever it forked to, also if the container's init has ended.
 * A group that this very process is in is left alone: it is no container's.
 * @returns false if there was none to signal
 */
export function signalCgroups(directories: readonly string[], signal: number): boolean {
  const own = directories.filter((directory) => {
    const found = listProcesses([directory]);
    return found.length > 0 && !found.includes(process.pid);
  });
  if (own.length === 0) return false;
  if (signal === SIGKILL) {
    for (const directory of own) killAtOnce(directory);
    for (let round = 0; round < KILL_ROUNDS && listProcesses(own).length > 0; round++) {
      signalFrozen(own, signal);
      Bun.sleepSync(round);
    }
  } else {
    signalFrozen(own, signal);
  }
  return true;
}

/** Since Linux 5.14, v2 only. */
function killAtOnce(directory: string): void {
  const file = join(directory, "cgroup.kill");
  if (existsSync(file)) writeValue(file, "1");
}

/** While they are frozen, none can fork. A killed process dies when it thaws. */
function signalFrozen(directories: readonly string[], signal: number): void {
  const wasFrozen = isFrozen(directories);
  const freezer = wasFrozen ? false : tryFreeze(directories);
  try {
    for (const pid of listProcesses(directories)) {
      using pidfd = openPidfd(pid);
      if (pidfd !== undefined) signalProcess(pidfd, signal);
    }
  } finally {
    if (freezer || signal === SIGKILL) thawCgroups(directories);
  }
}

function tryFreeze(directories: readonly string[]): boolean {
  try {
    freezeCgroups(directories);
    return true;
  } catch {
    // Without a freezer a process that forks at the same moment can be missed; the caller's rounds find it.
    return false;
  }
}

type Freezer = {
  readonly file: string;
  readonly frozen: string;
  readonly thawed: string;
  /** Is it really frozen, not only asked to? */
  readonly isDone: () => boolean;
};

function freezerOf(directories: readonly string[]): Freezer | undefined {
  for (const directory of directories) {
    const v1 = join(directory, "freezer.state");
    if (existsSync(v1)) {
      const isDone = (): boolean => readIfThere(v1)?.trim() === "FROZEN";
      return { file: v1, frozen: "FROZEN", thawed: "THAWED", isDone };
    }
  }
  for (const directory of directories) {
    const v2 = join(directory, "cgroup.freeze");
    if (existsSync(v2)) {
      const isDone = (): boolean =>
        /^frozen 1$/m.test(readIfThere(join(directory, "cgroup.events")) ?? "") ||
        (readIfThere(v2)?.trim() === "1" && listProcesses([directory]).length === 0);
      return { file: v2, frozen: "1", thawed: "0", isDone };
    }
  }
  return undefined;
}

export function isFrozen(directories: readonly string[]): boolean {
  const freezer = freezerOf(directories);
  return freezer !== undefined && readIfThere(freezer.file)?.trim() === freezer.frozen;
}

/** @throws AtomfsError "unsupported" without a freezer, "failed" if it does not come to rest */
export function freezeCgroups(directories: readonly string[]): void {
  const freezer = freezerOf(directories);
  if (freezer === undefined) throw noFreezer();
  for (let attempt = 0; attempt < FREEZE_ATTEMPTS; attempt++) {
    // On v1 a freeze that met a fork stays half-done until it is asked for again.
    writeValue(freezer.file, freezer.frozen);
    if (freezer.isDone()) return;
    Bun.sleepSync(RETRY_MS);
  }
  writeValue(freezer.file, freezer.thawed);
  throw new AtomfsError(
    "failed",
    `Cannot freeze ${dirname(freezer.file)}: its processes do not come to rest`,
  );
}

/** What is not there is not frozen. */
export function thawCgroups(directories: readonly string[]): void {
  const freezer = freezerOf(directories);
  if (freezer !== undefined) writeValue(freezer.file, freezer.thawed);
}

function noFreezer(): AtomfsError {
  return new AtomfsError("unsupported", "The container is in no control group that can be frozen");
}
