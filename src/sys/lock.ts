import { constants, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { AtomfsError } from "../core/errors.ts";
import { Fd } from "./fd.ts";
import { rawSyscall, syscallError } from "./ffi.ts";

export type LockMode = "shared" | "exclusive";

const LOCK = { shared: 1, exclusive: 2 } as const;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;
const EINTR = 4;
const POLL_MS = 20;

/** As long as the interactive commands wait for each other before they give up. */
export const LOCK_TIMEOUT_MS = 10_000;

/**
 * Takes the advisory lock (flock) of a file, which is made if absent and must never be removed; it is held until disposed or until the process
 * ends, however it ends. Blocks the whole program while it waits: where a wait may be long, use `lockFileLater`.
 * @throws AtomfsError "stale" if another process holds it: at once, or with `wait` after `timeoutMs`
 */
export function lockFile(
  path: string,
  mode: LockMode,
  options: { readonly wait: boolean; readonly timeoutMs?: number },
): Disposable {
  using stack = new DisposableStack();
  const fd = stack.use(openLockFile(path));
  const end = performance.now() + (options.wait ? (options.timeoutMs ?? LOCK_TIMEOUT_MS) : 0);
  while (!tryLock(fd, path, mode)) {
    if (performance.now() >= end) throw heldByOther(path);
    Bun.sleepSync(POLL_MS);
  }
  stack.move();
  return fd;
}

/** As `lockFile` with waiting, but the program goes on meanwhile and the signal ends the wait. */
export async function lockFileLater(
  path: string,
  mode: LockMode,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<Disposable> {
  using stack = new DisposableStack();
  const fd = stack.use(openLockFile(path));
  const end = performance.now() + options.timeoutMs;
  while (!tryLock(fd, path, mode)) {
    if (options.signal?.aborted) {
      throw new AtomfsError("interrupted", `Interrupted while waiting for the lock ${path}`);
    }
    if (performance.now() >= end) throw heldByOther(path);
    await sleep(POLL_MS);
  }
  stack.move();
  return fd;
}

function openLockFile(path: string): Fd {
  return new Fd(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
}

function tryLock(fd: Fd, path: string, mode: LockMode): boolean {
  const result = rawSyscall("flock", fd.number, LOCK[mode] | LOCK_NB);
  if (result === -EWOULDBLOCK || result === -EINTR) return false;
  if (result < 0) throw syscallError(-result, `lock ${path}`);
  return true;
}

function heldByOther(path: string): AtomfsError {
  return new AtomfsError("stale", `Cannot lock ${path}: another command holds it`, {
    hints: ["wait for the other atomfs command to end, then try again"],
  });
}
