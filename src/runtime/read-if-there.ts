import { readFileSync } from "node:fs";
import { hasCode } from "../sys/ffi.ts";
import { readFileBounded } from "../sys/files.ts";

/**
 * The errors by which a file of the kernel says that there is nothing to read: no such name, a cgroup that was removed after
 * its file was opened (ENODEV), one that is threaded (EOPNOTSUPP), a facility that is switched off or out of reach (EINVAL, EACCES).
 */
const ABSENT = ["ENOENT", "ENOTDIR", "ENODEV", "EOPNOTSUPP", "EINVAL", "EACCES"];

/**
 * A whole text; undefined if there is none.
 * @param maxBytes for files that somebody else makes; the kernel's own have no size, and need no bound
 * @throws AtomfsError "bad-data" for a larger one
 */
export function readIfThere(path: string, maxBytes?: number): string | undefined {
  try {
    return maxBytes === undefined
      ? readFileSync(path, "utf8")
      : readFileBounded(path, maxBytes).toString("utf8");
  } catch (error) {
    if (hasCode(error, ...ABSENT)) return undefined;
    throw error;
  }
}
