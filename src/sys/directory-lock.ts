import { constants, fstatSync, openSync, statSync } from "node:fs";
import { Fd } from "./fd.ts";
import { hasCode, rawSyscall, showPath, syscallError } from "./ffi.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;
const EINTR = 4;
const POLL_MS = 2;

/**
 * Takes the advisory lock (flock) of a directory that may be renamed or removed meanwhile: who gets the lock of a directory
 * that no longer has this name tries again with the one that has. The lock ends with the process at the latest.
 * @returns "absent" if there is no such directory, "busy" if another holds it after `timeoutMs`
 */
export function lockDirectory(path: string, timeoutMs: number): Fd | "absent" | "busy" {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const outcome = tryLock(path);
    if (outcome !== "busy" && outcome !== "renamed") return outcome;
    if (performance.now() >= end) return "busy";
    if (outcome === "busy") Bun.sleepSync(POLL_MS);
  }
}

function tryLock(path: string): Fd | "absent" | "busy" | "renamed" {
  using stack = new DisposableStack();
  let directory: Fd;
  try {
    directory = stack.use(
      new Fd(openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)),
    );
  } catch (error) {
    if (hasCode(error, "ENOENT")) return "absent";
    throw error;
  }
  const result = rawSyscall("flock", directory.number, LOCK_EX | LOCK_NB);
  if (result === -EWOULDBLOCK || result === -EINTR) return "busy";
  if (result < 0) throw syscallError(-result, `lock ${showPath(path)}`);
  if (!isStillNamed(directory, path)) return "renamed";
  stack.move();
  return directory;
}

function isStillNamed(directory: Fd, path: string): boolean {
  const held = fstatSync(directory.number);
  const named = statSync(path, { throwIfNoEntry: false });
  return named !== undefined && named.ino === held.ino && named.dev === held.dev;
}
