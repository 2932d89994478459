import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { hasCode } from "../../src/sys/ffi.ts";
import { patience } from "../../tests/support/slowness.ts";

const PATIENCE_MS = patience(120_000);

/** Kills what the list has, until it has nothing alive any more. @throws AtomfsError "failed" */
export async function killAll(list: () => readonly number[]): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (let pids = list().filter(isAlive); pids.length > 0; pids = list().filter(isAlive)) {
    if (performance.now() > end)
      throw new AtomfsError("failed", `Cannot end process ${pids.join(", ")} of the cluster`);
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
    await Bun.sleep(100);
  }
}

/** A zombie is as good as gone: the machine's process 1 may be slow to take it. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

/** Of control groups and all below them. */
export function processesIn(directories: readonly string[]): number[] {
  const pids = new Set<number>();
  for (const directory of directories.filter((each) => existsSync(each))) {
    for (const below of [directory, ...cgroupsBelow(directory)]) {
      const text = unlessGone(() => readFileSync(join(below, "cgroup.procs"), "utf8"), "");
      for (const line of text.split("\n").filter((each) => each !== "")) pids.add(Number(line));
    }
  }
  return [...pids];
}

export function cgroupsBelow(directory: string): string[] {
  return unlessGone(() => readdirSync(directory, { withFileTypes: true }), [])
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      return [path, ...cgroupsBelow(path)];
    });
}

/** Groups come and go while they are looked at. */
function unlessGone<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch (error) {
    if (hasCode(error, "ENOENT") || hasCode(error, "ENODEV")) return otherwise;
    throw error;
  }
}

/** The kernel needs a moment after the last process. @throws AtomfsError "failed" */
export async function removeCgroup(directory: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (existsSync(directory)) {
    try {
      for (const each of [...cgroupsBelow(directory).reverse(), directory]) rmdirSync(each);
    } catch (cause) {
      if (performance.now() > end)
        throw new AtomfsError("failed", `Cannot remove the control group ${directory}`, { cause });
      await Bun.sleep(100);
    }
  }
}
