import { type ByteString, displayText } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { MAX_INLINE, MAX_MAJOR, MAX_MINOR, MAX_NAME, MAX_SYMLINK } from "./layout.ts";
import type { ErofsInode } from "./node.ts";
import { checkXattrs } from "./xattr.ts";

/** @throws AtomfsError "bad-data" for what the image format (or Linux) cannot hold; `name` is for the message */
export function checkInode(name: ByteString, inode: ErofsInode): void {
  const problem = findProblem(name, inode);
  if (problem !== undefined) {
    throw new AtomfsError("bad-data", `Cannot store "${displayText(name).slice(0, 300)}": ${problem}`);
  }
  if (inode.xattrs.size > 0) checkXattrs(inode.xattrs);
}

function findProblem(name: ByteString, inode: ErofsInode): string | undefined {
  if (name.length > MAX_NAME) return `its name has ${name.length} bytes, limit ${MAX_NAME}`;
  if (!isWithin(inode.mode, 0o7777)) return `its mode is ${inode.mode}`;
  if (!isWithin(inode.uid, 0xffffffff) || !isWithin(inode.gid, 0xffffffff)) {
    return `its owner is ${inode.uid}:${inode.gid}`;
  }
  if (!Number.isSafeInteger(inode.mtime.sec) || !isWithin(inode.mtime.nsec, 999_999_999)) {
    return `its mtime is ${inode.mtime.sec} s and ${inode.mtime.nsec} ns`;
  }
  switch (inode.type) {
    case "symlink":
      return isWithin(inode.target.length - 1, MAX_SYMLINK - 1) && !inode.target.includes("\0")
        ? undefined
        : `its link target has ${inode.target.length} bytes (limit ${MAX_SYMLINK}) or a NUL`;
    case "char":
    case "block":
      return isWithin(inode.major, MAX_MAJOR) && isWithin(inode.minor, MAX_MINOR)
        ? undefined
        : `its device is ${inode.major}:${inode.minor}`;
    case "file":
      if (inode.content.kind === "inline") {
        const { length } = inode.content.bytes;
        return length <= MAX_INLINE
          ? undefined
          : `it has ${length} bytes of inline content, limit ${MAX_INLINE}`;
      }
      if (!isWithin(inode.content.size - 1, Number.MAX_SAFE_INTEGER)) {
        return `its content lies outside of the image and is ${inode.content.size} bytes`;
      }
      return undefined;
    case "dir":
    case "fifo":
    case "socket":
      return undefined;
  }
}

function isWithin(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}
