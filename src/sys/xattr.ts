import { type ByteString, displayText, fromBytes, toBytes } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { cString, type Path, rawSyscall, showPath, syscall, syscallError } from "./ffi.ts";

/** The kernel's own limits (include/uapi/linux/limits.h): one value, and all names of a file together. */
const XATTR_SIZE_MAX = 65_536;
const XATTR_LIST_MAX = 65_536;
const ENODATA = 61;
const EOPNOTSUPP = 95;

/** All four act on the name itself, never on a symlink's target. */

/** The value, or undefined if the file has no such attribute or the filesystem has none at all. */
export function getXattr(path: Path, name: ByteString): ByteString | undefined {
  const value = Buffer.alloc(XATTR_SIZE_MAX);
  const size = rawSyscall("lgetxattr", cString(path), cString(toBytes(name)), value, value.length);
  if (size === -ENODATA || size === -EOPNOTSUPP) return undefined;
  if (size < 0) throw syscallError(-size, `read the attribute ${displayText(name)} of ${showPath(path)}`);
  return fromBytes(value.subarray(0, size));
}

/** Full names, in the filesystem's order; empty where the filesystem has no attributes. */
export function listXattrs(path: Path): ByteString[] {
  const buffer = Buffer.alloc(XATTR_LIST_MAX);
  const size = rawSyscall("llistxattr", cString(path), buffer, buffer.length);
  if (size === -EOPNOTSUPP) return [];
  if (size < 0) throw syscallError(-size, `list the attributes of ${showPath(path)}`);
  if (size === 0) return [];
  return fromBytes(buffer.subarray(0, size - 1)).split("\0") as ByteString[];
}

export function readXattrs(path: Path): Map<ByteString, ByteString> {
  const all = new Map<ByteString, ByteString>();
  for (const name of listXattrs(path)) {
    const value = getXattr(path, name);
    if (value !== undefined) all.set(name, value);
  }
  return all;
}

export function setXattr(path: Path, name: ByteString, value: ByteString): void {
  if (value.length > XATTR_SIZE_MAX) {
    throw new AtomfsError(
      "bad-data",
      `Cannot set the attribute ${displayText(name)} of ${showPath(path)}: ${value.length} bytes, the most is ${XATTR_SIZE_MAX}`,
    );
  }
  const bytes = toBytes(value);
  syscall(
    "lsetxattr",
    `set the attribute ${displayText(name)} of ${showPath(path)}`,
    cString(path),
    cString(toBytes(name)),
    bytes,
    bytes.length,
    0,
  );
}

/** Removing what is not there is no error. */
export function removeXattr(path: Path, name: ByteString): void {
  const result = rawSyscall("lremovexattr", cString(path), cString(toBytes(name)));
  if (result < 0 && result !== -ENODATA && result !== -EOPNOTSUPP) {
    throw syscallError(-result, `remove the attribute ${displayText(name)} of ${showPath(path)}`);
  }
}
