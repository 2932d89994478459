import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import type { Mtime } from "../core/tree.ts";
import { Fd, openNoFollow } from "./fd.ts";
import { AT_FDCWD, cString, type Path, rawSyscall, showPath, syscall, syscallError } from "./ffi.ts";

const AT_SYMLINK_NOFOLLOW = 0x100;
const FICLONE = 0x40049409;
const COPY_CHUNK = 1 << 30;
const READ_CHUNK = 1 << 16;

let temporaryNames = 0;

/**
 * Puts a whole file in place of whatever has this name: a crash at any instant leaves the old file or the new one.
 * Order: temp file, fsync, rename, fsync of the directory. On failure the temp file is removed.
 * @param options.mode permission bits, set exactly (no umask)
 * @param options.temporaryDirectory on the same filesystem; default: beside the file
 */
export function writeAtomic(
  path: string,
  bytes: Uint8Array,
  options: { readonly mode: number; readonly temporaryDirectory?: string },
): void {
  const directory = options.temporaryDirectory ?? dirname(path);
  const temporary = join(directory, `.${basename(path).slice(0, 100)}.${process.pid}.${temporaryNames++}`);
  using stack = new DisposableStack();
  const file = stack.use(
    openNoFollow(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600),
  );
  const removal = new DisposableStack();
  stack.use(removal);
  removal.defer(() => unlinkSync(temporary));
  writeAll(file.number, bytes);
  fchmodSync(file.number, options.mode);
  fsyncSync(file.number);
  renameSync(temporary, path);
  removal.move();
  fsyncDirectory(dirname(path));
}

export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done);
}

/** Makes the names in a directory durable. */
export function fsyncDirectory(path: Path): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes everything on the filesystem that holds `path` durable: far cheaper than an fsync for each of many files. */
export function syncFilesystem(path: Path): void {
  using fd = new Fd(openSync(path, constants.O_RDONLY));
  syscall("syncfs", `sync the filesystem of ${showPath(path)}`, fd.number);
}

/**
 * The whole content of a regular file; a symlink in the last name is refused, and so is any other type.
 * @throws AtomfsError "bad-data" if it has more than `maxBytes` bytes or is no regular file; Node's error if it
 * cannot be opened
 */
export function readFileBounded(path: Path, maxBytes: number): Buffer {
  using file = openNoFollow(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stat = fstatSync(file.number);
  if (!stat.isFile()) {
    throw new AtomfsError("bad-data", `Cannot read ${showPath(path)}: it is not a regular file`);
  }
  const chunks: Buffer[] = [];
  let total = 0;
  let want = Math.min(stat.size, maxBytes) + 1;
  for (;;) {
    const chunk = Buffer.allocUnsafe(want);
    const got = readSync(file.number, chunk, 0, want, null);
    if (got === 0) break;
    chunks.push(chunk.subarray(0, got));
    total += got;
    if (total > maxBytes) {
      throw new AtomfsError("bad-data", `Cannot read ${showPath(path)}: it has more than ${maxBytes} bytes`);
    }
    want = Math.min(READ_CHUNK, maxBytes - total + 1);
  }
  return chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks);
}

/**
 * Copies all of `source` into the empty file `target` (both descriptors), sharing blocks where the filesystem can.
 * Answers how: "reflink" costs no space. Exactly `size` bytes are promised.
 * @throws AtomfsError "bad-data" if the source has another size
 */
export function copyOrReflink(source: number, target: number, size: number, name: Path): "reflink" | "copy" {
  const actual = fstatSync(source).size;
  if (actual !== size) {
    throw new AtomfsError("bad-data", `Cannot copy ${showPath(name)}: it has ${actual} bytes, want ${size}`);
  }
  if (size === 0) return "copy";
  if (reflink(source, target)) return "reflink";
  for (let left = size; left > 0; ) {
    const done = rawSyscall("copy_file_range", source, null, target, null, Math.min(left, COPY_CHUNK), 0);
    if (done < 0 && left === size) {
      copyByReading(source, target, size, name);
      return "copy";
    }
    if (done < 0) throw syscallError(-done, `copy ${showPath(name)}`);
    if (done === 0) throw shortened(name);
    left -= done;
  }
  return "copy";
}

/** Makes the empty file `target` share all blocks of `source` (both descriptors). False where the filesystem cannot. */
export function reflink(source: number, target: number): boolean {
  return rawSyscall("ioctl", target, FICLONE, source) === 0;
}

function copyByReading(source: number, target: number, size: number, name: Path): void {
  const buffer = Buffer.allocUnsafe(Math.min(size, 1 << 20));
  for (let at = 0; at < size; ) {
    const got = readSync(source, buffer, 0, Math.min(buffer.length, size - at), at);
    if (got === 0) throw shortened(name);
    writeAll(target, buffer.subarray(0, got));
    at += got;
  }
}

function shortened(name: Path): AtomfsError {
  return new AtomfsError("bad-data", `Cannot copy ${showPath(name)}: it became shorter meanwhile`);
}

/** Sets the modification time (and, to the same, the access time) of the name itself, never of a symlink's target. */
export function setTimes(path: Buffer, mtime: Mtime): void {
  const times = Buffer.alloc(32);
  for (const at of [0, 16]) {
    times.writeBigInt64LE(BigInt(mtime.sec), at);
    times.writeBigInt64LE(BigInt(mtime.nsec), at + 8);
  }
  syscall(
    "utimensat",
    `set the time of ${showPath(path)}`,
    AT_FDCWD,
    cString(path),
    times,
    AT_SYMLINK_NOFOLLOW,
  );
}

/** Linux's new_encode_dev: what mknod(2) and EROFS take. */
function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

const TYPE_BITS = { fifo: 0o010000, char: 0o020000, block: 0o060000, socket: 0o140000 } as const;

/** Permission bits go through the umask: set them after. */
export function makeNode(
  path: Buffer,
  type: keyof typeof TYPE_BITS,
  device?: readonly [number, number],
): void {
  const number = device === undefined ? 0 : encodeDevice(...device);
  syscall("mknodat", `make ${showPath(path)}`, AT_FDCWD, cString(path), TYPE_BITS[type] | 0o600, number);
}
