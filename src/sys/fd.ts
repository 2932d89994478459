import { closeSync, constants, openSync } from "node:fs";
import { type Path, type SyscallArgument, type SyscallName, syscall } from "./ffi.ts";

export const O_PATH = 0o10000000;

/** An open file descriptor that is closed at the end of its scope (`using`). */
export class Fd implements Disposable {
  readonly number: number;
  #open = true;

  constructor(number: number) {
    this.number = number;
  }

  /** A path that leads to what this descriptor holds, for calls that take only paths. */
  get procPath(): string {
    return `/proc/self/fd/${this.number}`;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.number);
  }
}

/** For system calls that answer with a new descriptor. */
export function syscallFd(name: SyscallName, doing: string, ...args: readonly SyscallArgument[]): Fd {
  return new Fd(syscall(name, doing, ...args));
}

/** include/uapi/linux/fcntl.h */
const F_DUPFD_CLOEXEC = 1030;
const FIRST_AFTER_STDIO = 3;

/** The same open file under another number, which is none of stdio's. */
export function duplicate(fd: number): Fd {
  return syscallFd("fcntl", `duplicate descriptor ${fd}`, fd, F_DUPFD_CLOEXEC, FIRST_AFTER_STDIO);
}

/** `flags` as in open(2); the last name of the path is never followed if it is a symlink (ELOOP). */
export function openNoFollow(path: Path, flags: number, mode = 0o600): Fd {
  return new Fd(openSync(path, flags | constants.O_NOFOLLOW, mode));
}

/** A descriptor that only names a directory: for lookups and mounts. */
export function openDirectoryPath(path: Path): Fd {
  return new Fd(openSync(path, O_PATH | constants.O_DIRECTORY));
}
