import { constants, openSync } from "node:fs";
import { Fd, openNoFollow } from "./fd.ts";
import { hasCode, type Path, rawSyscall, showPath, syscallError } from "./ffi.ts";
import { reflink } from "./files.ts";

/** include/uapi/linux/fiemap.h */
const FS_IOC_FIEMAP = 0xc020660b;
const HEADER = 32;
const EXTENT = 56;
const EXTENTS_PER_CALL = 64;
const LAST = 0x1;
const SHARED = 0x2000;
const EOPNOTSUPP = 95;
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * How many bytes of a regular file lie on blocks that another file has, too (reflinks). 0 on a filesystem that cannot tell.
 * @param size the file's size: the last block may be longer
 */
export function sharedBytes(path: Path, size: number): number {
  using file = openNoFollow(path, constants.O_RDONLY);
  let shared = 0;
  for (let at = 0; at < size; ) {
    const map = Buffer.alloc(HEADER + EXTENT * EXTENTS_PER_CALL);
    map.writeBigUInt64LE(BigInt(at), 0);
    map.writeBigUInt64LE(BigInt(size - at), 8);
    map.writeUInt32LE(EXTENTS_PER_CALL, 24);
    const result = rawSyscall("ioctl", file.number, FS_IOC_FIEMAP, map);
    if (result === -EOPNOTSUPP) return 0;
    if (result < 0) throw syscallError(-result, `find the blocks of ${showPath(path)}`);
    const found = map.readUInt32LE(20);
    for (let i = 0; i < found; i++) {
      const extent = HEADER + EXTENT * i;
      const start = Number(map.readBigUInt64LE(extent));
      const end = Math.min(start + Number(map.readBigUInt64LE(extent + 16)), size);
      const flags = map.readUInt32LE(extent + 40);
      if ((flags & SHARED) !== 0) shared += end - Math.max(start, at);
      if ((flags & LAST) !== 0) return shared;
      at = Math.max(at, end);
    }
    // A hole up to the end.
    if (found === 0) return shared;
  }
  return shared;
}

/** Tries it with two unnamed files: nothing of it stays. @param directory must be writable */
export function supportsReflink(directory: string): boolean {
  try {
    using source = new Fd(openSync(directory, constants.O_RDWR | O_TMPFILE, 0o600));
    using target = new Fd(openSync(directory, constants.O_RDWR | O_TMPFILE, 0o600));
    return reflink(source.number, target.number);
  } catch (error) {
    if (hasCode(error, "EOPNOTSUPP", "EISDIR", "EROFS")) return false;
    throw error;
  }
}
