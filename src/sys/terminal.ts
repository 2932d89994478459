import { constants, openSync } from "node:fs";
import { Fd } from "./fd.ts";
import { hasCode, rawSyscall, syscall } from "./ffi.ts";

/** include/uapi/asm-generic/ioctls.h, fcntl.h; the same on x86-64 and arm64. */
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;
const F_GETFL = 3;
const F_SETFL = 4;

/** In characters. */
export type WindowSize = { readonly rows: number; readonly columns: number };

/** The terminal that this program was called from: a new descriptor; undefined if there is none. */
export function openOwnTerminal(): Fd | undefined {
  const known = [2, 1, 0].find(isTerminal);
  try {
    const path = known === undefined ? "/dev/tty" : `/proc/self/fd/${known}`;
    return new Fd(openSync(path, constants.O_RDWR | constants.O_NOCTTY));
  } catch (error) {
    if (hasCode(error, "ENXIO", "ENOENT", "EACCES", "EIO")) return undefined;
    throw error;
  }
}

/** As isatty(3), without node:tty, which takes long to load. */
function isTerminal(fd: number): boolean {
  return rawSyscall("ioctl", fd, TIOCGWINSZ, Buffer.alloc(8)) >= 0;
}

/** Undefined if the terminal has gone. */
export function windowSize(terminal: Fd): WindowSize | undefined {
  const size = Buffer.alloc(8);
  if (rawSyscall("ioctl", terminal.number, TIOCGWINSZ, size) < 0) return undefined;
  return { rows: size.readUInt16LE(0), columns: size.readUInt16LE(2) };
}

/** What is in the terminal gets SIGWINCH if that is a change. */
export function setWindowSize(terminal: Fd, { rows, columns }: WindowSize): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  syscall("ioctl", "set a terminal's size", terminal.number, TIOCSWINSZ, size);
}

/** From now on reading and writing fail with EAGAIN instead of waiting, for everybody who has this open file. */
export function setNonblocking(fd: Fd): void {
  const flags = syscall("fcntl", "read the flags of a file", fd.number, F_GETFL, 0);
  syscall("fcntl", "set the flags of a file", fd.number, F_SETFL, flags | constants.O_NONBLOCK);
}
