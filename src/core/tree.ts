import { type ByteString, compareBytes, ROOT, type TreePath } from "./bytestring.ts";
import type { VerityDigest } from "./digest.ts";

/** Seconds since 1970 (may be negative) and nanoseconds 0 to 999,999,999. */
export type Mtime = { readonly sec: number; readonly nsec: number };

/** Files of up to this many bytes live in the metadata image; larger ones are objects. Changing it breaks the format. */
export const INLINE_MAX = 64;

export type FileContent =
  | { readonly kind: "inline"; readonly bytes: ByteString }
  | { readonly kind: "object"; readonly digest: VerityDigest; readonly size: number };

type Attributes = {
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Mtime;
  /** Full names ("user.foo") to values; iteration order has no meaning. */
  readonly xattrs: ReadonlyMap<ByteString, ByteString>;
};

/**
 * What a name leads to. Immutable: a change makes a new one. Two paths are hard links of each other exactly if the
 * tree maps both to the *same* Inode object; directories are never shared.
 */
export type Inode = Attributes &
  (
    | { readonly type: "dir" }
    | { readonly type: "file"; readonly content: FileContent }
    | { readonly type: "symlink"; readonly target: ByteString }
    | { readonly type: "char" | "block"; readonly major: number; readonly minor: number }
    | { readonly type: "fifo" | "socket" }
  );

export type FileInode = Extract<Inode, { type: "file" }>;
export type DirInode = Extract<Inode, { type: "dir" }>;

/** A whole file tree. Every path's parent is in the map and is a directory; the root (path "") is there too. */
export type Tree = ReadonlyMap<TreePath, Inode>;
export type MutableTree = Map<TreePath, Inode>;

export const EMPTY_XATTRS: ReadonlyMap<ByteString, ByteString> = new Map();

/** The root of a tree that says nothing of its root: 0755 root:root, time 0. */
export const DEFAULT_ROOT: DirInode = {
  type: "dir",
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: { sec: 0, nsec: 0 },
  xattrs: EMPTY_XATTRS,
};

export function contentSize(content: FileContent): number {
  return content.kind === "inline" ? content.bytes.length : content.size;
}

export function compareMtime(a: Mtime, b: Mtime): number {
  return a.sec - b.sec || a.nsec - b.nsec;
}

/** Paths in byte order of the whole path. A parent always comes before what it holds. */
export function sortedPaths(tree: Tree): TreePath[] {
  return [...tree.keys()].sort(compareBytes);
}

/** Names of each directory's entries, sorted in byte order. */
export function childrenByDirectory(tree: Tree): Map<TreePath, ByteString[]> {
  const children = new Map<TreePath, ByteString[]>();
  for (const [path, inode] of tree) {
    if (inode.type === "dir" && !children.has(path)) children.set(path, []);
    if (path === ROOT) continue;
    const slash = path.lastIndexOf("/");
    const directory = path.slice(0, slash) as TreePath;
    const names = children.get(directory);
    if (names === undefined) children.set(directory, [path.slice(slash + 1) as ByteString]);
    else names.push(path.slice(slash + 1) as ByteString);
  }
  for (const names of children.values()) names.sort(compareBytes);
  return children;
}

function sameXattrs(a: Attributes["xattrs"], b: Attributes["xattrs"]): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) if (b.get(name) !== value) return false;
  return true;
}

function sameContent(a: FileContent, b: FileContent): boolean {
  if (a.kind === "inline") return b.kind === "inline" && a.bytes === b.bytes;
  return b.kind === "object" && a.digest === b.digest && a.size === b.size;
}

/** Equal in type, data, mode, owner and xattrs; mtime only if asked. */
export function sameInode(a: Inode, b: Inode, options: { mtime: boolean }): boolean {
  if (a === b) return true;
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || !sameXattrs(a.xattrs, b.xattrs))
    return false;
  if (options.mtime && compareMtime(a.mtime, b.mtime) !== 0) return false;
  switch (a.type) {
    case "dir":
    case "fifo":
    case "socket":
      return b.type === a.type;
    case "file":
      return b.type === "file" && sameContent(a.content, b.content);
    case "symlink":
      return b.type === "symlink" && a.target === b.target;
    case "char":
    case "block":
      return b.type === a.type && a.major === b.major && a.minor === b.minor;
  }
}

/** Reads the bytes of an object of the store. Given to pure code that must look into file contents. */
export type ReadObject = (digest: VerityDigest) => Uint8Array;

export function readContent(content: FileContent, readObject: ReadObject): Uint8Array {
  return content.kind === "inline" ? Buffer.from(content.bytes, "latin1") : readObject(content.digest);
}

/** Takes the bytes of one regular file and says where they are kept. `size` is a promise that is checked. */
export type ContentSink = {
  put(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, size: number): Promise<FileContent>;
};
