import { dlopen, ptr, read } from "bun:ffi";
import { AtomfsError, type ErrorKind } from "../core/errors.ts";

/** Numbers from the kernel's own tables: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h. */
const NUMBERS = {
  ppoll: { x64: 271, arm64: 73 },
  sendfile: { x64: 40, arm64: 71 },
  ioctl: { x64: 16, arm64: 29 },
  socket: { x64: 41, arm64: 198 },
  connect: { x64: 42, arm64: 203 },
  sendmsg: { x64: 46, arm64: 211 },
  recvmsg: { x64: 47, arm64: 212 },
  bind: { x64: 49, arm64: 200 },
  listen: { x64: 50, arm64: 201 },
  socketpair: { x64: 53, arm64: 199 },
  setsockopt: { x64: 54, arm64: 208 },
  wait4: { x64: 61, arm64: 260 },
  fcntl: { x64: 72, arm64: 25 },
  flock: { x64: 73, arm64: 32 },
  prctl: { x64: 157, arm64: 167 },
  mount: { x64: 165, arm64: 40 },
  umount2: { x64: 166, arm64: 39 },
  lsetxattr: { x64: 189, arm64: 6 },
  lgetxattr: { x64: 192, arm64: 9 },
  llistxattr: { x64: 195, arm64: 12 },
  lremovexattr: { x64: 198, arm64: 15 },
  mknodat: { x64: 259, arm64: 33 },
  utimensat: { x64: 280, arm64: 88 },
  syncfs: { x64: 306, arm64: 267 },
  accept4: { x64: 288, arm64: 242 },
  memfd_create: { x64: 319, arm64: 279 },
  copy_file_range: { x64: 326, arm64: 285 },
  pidfd_send_signal: { x64: 424, arm64: 424 },
  open_tree: { x64: 428, arm64: 428 },
  move_mount: { x64: 429, arm64: 429 },
  fsopen: { x64: 430, arm64: 430 },
  fsconfig: { x64: 431, arm64: 431 },
  fsmount: { x64: 432, arm64: 432 },
  pidfd_open: { x64: 434, arm64: 434 },
  openat2: { x64: 437, arm64: 437 },
  mount_setattr: { x64: 442, arm64: 442 },
} as const;

export type SyscallName = keyof typeof NUMBERS;

/** Bytes are passed by address; the kernel may write into them. `null` is the null pointer. */
export type SyscallArgument = number | bigint | Uint8Array | null;

/** A file name as text (sent as UTF-8) or as its bytes, without NUL. */
export type Path = string | Buffer;

export const AT_FDCWD = -100;

/** Linux errno numbers that x86-64 and arm64 share; only those that a caller or a user can act on. */
const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  9: "EBADF",
  10: "ECHILD",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  15: "ENOTBLK",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  25: "ENOTTY",
  26: "ETXTBSY",
  27: "EFBIG",
  28: "ENOSPC",
  30: "EROFS",
  31: "EMLINK",
  32: "EPIPE",
  34: "ERANGE",
  36: "ENAMETOOLONG",
  38: "ENOSYS",
  39: "ENOTEMPTY",
  40: "ELOOP",
  61: "ENODATA",
  75: "EOVERFLOW",
  95: "EOPNOTSUPP",
  98: "EADDRINUSE",
  104: "ECONNRESET",
  111: "ECONNREFUSED",
  116: "ESTALE",
  117: "EUCLEAN",
  122: "EDQUOT",
};

/** Failures that say what the machine lacks (rights, a kernel feature, space), not what went wrong in the work. */
const LACKING = new Set(["EPERM", "EACCES", "ENODEV", "ENOSYS", "ENOSPC", "EDQUOT", "EOPNOTSUPP"]);

/** A refused system call. `code` is the errno name, as in Node's own errors, or "E" + number. */
export class SyscallError extends AtomfsError {
  readonly code: string;

  constructor(kind: ErrorKind, message: string, code: string, cause?: unknown) {
    super(kind, message, { cause });
    this.name = "SyscallError";
    this.code = code;
  }
}

export function errnoName(errno: number): string {
  return ERRNO_NAMES[errno] ?? `E${errno}`;
}

/** @param detail what the kernel itself said, if anything */
export function syscallError(errno: number, doing: string, detail = ""): SyscallError {
  const code = errnoName(errno);
  const kind = LACKING.has(code) ? "unsupported" : "failed";
  return new SyscallError(kind, `Cannot ${doing}: ${code}${detail === "" ? "" : ` (${detail})`}`, code);
}

/** Has this error (ours or Node's) one of these errno names? */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

type Word = number | bigint;
type Words = [Word, Word, Word, Word, Word, Word, Word];

type Libc = {
  readonly syscall: (...args: Words) => bigint;
  readonly errno: () => number;
};

function openLibc(): Libc {
  // syscall(2) is variadic in C; bun:ffi knows no variadic calls. On Linux x86-64 and arm64 a fixed signature
  // passes integers in the same registers.
  const { symbols } = dlopen("libc.so.6", {
    syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64", "i64"], returns: "i64" },
    __errno_location: { args: [], returns: "ptr" },
  } as const);
  return {
    syscall: symbols.syscall,
    errno() {
      const address = symbols.__errno_location();
      return address === null ? 0 : read.i32(address, 0);
    },
  };
}

let libc: Libc | undefined;
/** Keeps the collector off buffers whose address the kernel holds during a call. */
const inUse: (readonly SyscallArgument[])[] = [];

/** The kernel's own convention: the result, or minus errno. */
export function rawSyscall(name: SyscallName, ...args: readonly SyscallArgument[]): number {
  const arch = process.arch;
  if (arch !== "x64" && arch !== "arm64") {
    throw new AtomfsError("unsupported", `Cannot call the kernel on ${arch}: only x64 and arm64 are known`);
  }
  libc ??= openLibc();
  inUse.push(args);
  const words: Words = [NUMBERS[name][arch], 0, 0, 0, 0, 0, 0];
  for (const [i, arg] of args.entries()) words[i + 1] = word(arg);
  const result = Number(libc.syscall(...words));
  const errno = result === -1 ? libc.errno() : 0;
  inUse.pop();
  return result === -1 ? -errno : result;
}

function word(arg: SyscallArgument): Word {
  if (arg === null) return 0;
  if (typeof arg === "bigint") return arg;
  if (typeof arg === "number") {
    if (!Number.isSafeInteger(arg)) throw new TypeError(`Not an integer: ${arg}`);
    return arg;
  }
  // An empty buffer has no address; its length argument is 0, so the kernel does not look.
  return arg.length === 0 ? 0 : ptr(arg);
}

/**
 * @param doing completes "Cannot ...": the operation and what it is done to
 * @throws SyscallError with the errno name
 */
export function syscall(name: SyscallName, doing: string, ...args: readonly SyscallArgument[]): number {
  for (;;) {
    const result = rawSyscall(name, ...args);
    if (result >= 0) return result;
    if (result !== -4) throw syscallError(-result, doing);
  }
}

/** NUL-terminated bytes. @throws AtomfsError "bad-data" for a NUL inside */
export function cString(text: Path): Buffer {
  const bytes = typeof text === "string" ? Buffer.from(text, "utf8") : text;
  if (bytes.includes(0)) throw new AtomfsError("bad-data", `A name holds a NUL byte: ${showPath(text)}`);
  const terminated = Buffer.alloc(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** For messages: never raw control characters. */
export function showPath(path: Path): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals obey control characters, so they are escaped
  return path.toString().replace(/[\u0000-\u001f\u007f-\u009f\ufffd]/g, "?");
}
