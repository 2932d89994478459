import { existsSync, readFileSync, writeFile } from "node:fs";
import { join } from "node:path";

/**
 * The first move of a process from one control group to another waits until RCU has gone once around the machine's processors (8 to
 * 20 ms were measured on an idle one); moves that follow closely do not. So that this time passes while the container is
 * planned, a move begins at once, in a thread of its own, that changes nothing: of this process to where it is.
 */
export function attachAhead(): void {
  const file = ownGroups(readFileSync("/proc/self/cgroup", "latin1"))
    .map((directory) => join(directory, "cgroup.procs"))
    .find((path) => existsSync(path));
  // If it fails, nothing but the time is lost.
  if (file !== undefined) writeFile(file, "0", { flag: "r+" }, () => undefined);
}

/**
 * Where this process's groups are by the usual places of the hierarchies; not all of them need to be there.
 * @param text /proc/self/cgroup: lines "NUMBER:CONTROLLERS:PATH"
 */
export function ownGroups(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [, controllers, ...rest] = line.split(":");
    const path = rest.join(":");
    if (controllers === undefined || !path.startsWith("/")) return [];
    const places = controllers === "" ? [".", "unified"] : [controllers];
    return places.map((place) => join("/sys/fs/cgroup", place, path));
  });
}
