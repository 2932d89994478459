import { constants, openSync } from "node:fs";
import { Fd, syscallFd } from "./fd.ts";
import { cString, hasCode, showPath, syscall } from "./ffi.ts";
import { writeAll } from "./files.ts";

/** include/uapi/linux/memfd.h, fcntl.h. */
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const COPY_CHUNK = 1 << 30;
const SEAL_ALL = 0x1 | 0x2 | 0x4 | 0x8;

/**
 * A file in memory with these bytes that nobody can change any more, not even root through /proc/PID/fd: what runs
 * inside a container must not lead back to a file of the host (CVE-2019-5736).
 */
export function sealedMemfd(name: string, bytes: Uint8Array): Fd {
  using stack = new DisposableStack();
  const fd = stack.use(createMemfd(name));
  writeAll(fd.number, bytes);
  seal(fd, name);
  stack.move();
  return fd;
}

/** Can neither the content nor the size nor the seals of this file change? */
export function isSealed(fd: Fd): boolean {
  return (syscall("fcntl", "read the seals of a file", fd.number, F_GET_SEALS) & SEAL_ALL) === SEAL_ALL;
}

/** The same with the content of a file, which the kernel copies. @throws Node's error if it cannot be opened */
export function sealedCopy(name: string, path: string): Fd {
  using stack = new DisposableStack();
  using source = new Fd(openSync(path, constants.O_RDONLY));
  const fd = stack.use(createMemfd(name));
  const doing = `copy ${showPath(path)} into the memory file ${name}`;
  while (syscall("sendfile", doing, fd.number, source.number, null, COPY_CHUNK) > 0);
  seal(fd, name);
  stack.move();
  return fd;
}

function seal(fd: Fd, name: string): void {
  syscall("fcntl", `seal the memory file ${name}`, fd.number, F_ADD_SEALS, SEAL_ALL);
}

function createMemfd(name: string): Fd {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  try {
    return syscallFd("memfd_create", `make the memory file ${name}`, cString(name), flags | MFD_EXEC);
  } catch (error) {
    // Before Linux 6.3 the flag does not exist and every such file is executable.
    if (!hasCode(error, "EINVAL")) throw error;
    return syscallFd("memfd_create", `make the memory file ${name}`, cString(name), flags);
  }
}
