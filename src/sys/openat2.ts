import { displayText, type TreePath, toBytes } from "../core/bytestring.ts";
import { Fd } from "./fd.ts";
import { cString, rawSyscall, syscallError } from "./ffi.ts";

/** include/uapi/linux/openat2.h */
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;
const O_CLOEXEC = 0o2000000;
const EAGAIN = 11;
/** The kernel answers EAGAIN while somebody renames directories on the way. */
const ATTEMPTS = 128;

/**
 * Opens a path of a tree that others may be changing: symlinks and ".." cannot leave `root`, absolute targets start there.
 * @throws SyscallError with the errno name
 */
export function openInRoot(root: Fd, path: TreePath, flags: number): Fd {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), 16);
  const name = cString(path === "" ? "/" : toBytes(path));
  let result = -EAGAIN;
  for (let attempt = 0; attempt < ATTEMPTS && result === -EAGAIN; attempt++) {
    result = rawSyscall("openat2", root.number, name, how, how.length);
  }
  if (result < 0) throw syscallError(-result, `open ${displayText(path)} inside the tree`);
  return new Fd(result);
}
