import { constants, openSync, readdirSync, rmdirSync } from "node:fs";
import { Fd, O_PATH } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";

/**
 * A control group with all groups in it. A container may nest as many as it likes, deeper than a path can say and than the stack
 * reaches: so each step is taken from where the last one led, by a short path, and the way back is "..".
 */

type Level = {
  readonly name: string;
  /** Groups in it that were not yet visited. */
  readonly left: string[];
};

/** What a group that has gone, or that is just being removed, answers. */
const GONE = ["ENOENT", "ENODEV"];

/**
 * Goes to the group and to every group in it.
 * @param enter gets a directory that is only valid during the call: each group before those in it
 * @param leave gets the names of the group above and of the group, below `directory` only, after all in it; default: nothing
 */
export function walkGroups(
  directory: string,
  enter: (group: string) => void,
  leave: (above: string, name: string) => void = () => undefined,
): void {
  let here = openGroup(directory);
  if (here === undefined) return;
  try {
    enter(here.procPath);
    const levels: Level[] = [{ name: "", left: subgroups(here.procPath) }];
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.left.pop();
      if (name === undefined) {
        levels.pop();
        if (levels.length === 0) return;
        const above = openGroup(`${here.procPath}/..`);
        // It was removed meanwhile with what was above it: the next look finds what is left.
        if (above === undefined) return;
        here[Symbol.dispose]();
        here = above;
        leave(here.procPath, level.name);
        continue;
      }
      const next = openGroup(`${here.procPath}/${name}`);
      if (next === undefined) continue;
      here[Symbol.dispose]();
      here = next;
      enter(here.procPath);
      levels.push({ name, left: subgroups(here.procPath) });
    }
  } finally {
    here[Symbol.dispose]();
  }
}

/** Removes what can be removed of a group and those in it. @returns whether all of it is gone */
export function tryRemoveGroup(directory: string): boolean {
  if (removeEmpty(directory)) return true;
  walkGroups(
    directory,
    () => undefined,
    (above, name) => removeEmpty(`${above}/${name}`),
  );
  return removeEmpty(directory);
}

/** False: a process or a group is in it. */
function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    if (hasCode(error, ...GONE)) return true;
    if (hasCode(error, "EBUSY", "ENOTEMPTY")) return false;
    throw error;
  }
}

function openGroup(directory: string): Fd | undefined {
  try {
    return new Fd(openSync(directory, O_PATH | constants.O_DIRECTORY));
  } catch (error) {
    if (hasCode(error, ...GONE)) return undefined;
    throw error;
  }
}

function subgroups(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (hasCode(error, ...GONE)) return [];
    throw error;
  }
}
