import type { Fd } from "./fd.ts";
import { rawSyscall, syscallError } from "./ffi.ts";

/** include/uapi/asm-generic/poll.h */
export const POLLIN = 1;
export const POLLOUT = 4;
const POLLFD_SIZE = 8;
const EINTR = 4;

/** @param events bits of POLLIN and POLLOUT */
export type Watched = { readonly fd: Fd; readonly events: number };

/**
 * Waits until something happens to one of these, a signal comes, or the time is over.
 * @returns for each of `watched` the events that happened: those asked for, and errors and hang-ups (other bits); all 0 after a signal
 */
export function pollOnce(watched: readonly Watched[], timeoutMs: number): number[] {
  const request = Buffer.alloc(POLLFD_SIZE * watched.length);
  for (const [i, { fd, events }] of watched.entries()) {
    request.writeInt32LE(fd.number, POLLFD_SIZE * i);
    request.writeInt16LE(events, POLLFD_SIZE * i + 4);
  }
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(BigInt(Math.floor(timeoutMs / 1000)), 0);
  time.writeBigInt64LE(BigInt(Math.floor((timeoutMs % 1000) * 1e6)), 8);
  const result = rawSyscall("ppoll", request, watched.length, time, null, 8);
  if (result < 0 && result !== -EINTR) throw syscallError(-result, "wait for a descriptor");
  return watched.map((_, i) => (result < 0 ? 0 : request.readInt16LE(POLLFD_SIZE * i + 6)));
}

/** False after the timeout. The end of the other side counts as readable. */
export function waitReadable(fd: Fd, timeoutMs: number): boolean {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const left = Math.max(0, end - performance.now());
    const [happened = 0] = pollOnce([{ fd, events: POLLIN }], left);
    if (happened !== 0) return true;
    if (performance.now() >= end) return false;
  }
}
