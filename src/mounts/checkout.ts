import {
  chmodSync,
  constants,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  type ByteString,
  displayText,
  parentPath,
  ROOT,
  type TreePath,
  toBytes,
} from "../core/bytestring.ts";
import type { VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { type FileInode, type Inode, sortedPaths, type Tree } from "../core/tree.ts";
import { openNoFollow } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";
import { copyOrReflink, fsyncDirectory, makeNode, setTimes, syncFilesystem, writeAll } from "../sys/files.ts";
import { setXattr } from "../sys/xattr.ts";

export type CheckoutRequest = {
  readonly tree: Tree;
  /** Where the store keeps an object. */
  readonly objectPath: (digest: VerityDigest) => string;
  /** Made by this; its parent directory must exist and be closed to others. */
  readonly target: string;
};

/**
 * Writes a whole tree to disk, equal in every path, mode, owner, time, xattr, hard link and byte. File data is shared
 * with the objects where the filesystem can. The tree appears under its name only when it is whole and durable;
 * one that is there already is left as it is.
 * Safe for hostile trees: each directory on the way is one that this made, in a staging directory closed to others.
 * @throws AtomfsError "bad-data" if the tree is not one, "unsupported" if overlay could not show it as a plain lower
 */
export function checkoutTree(request: CheckoutRequest): void {
  const { tree, target } = request;
  const paths = sortedPaths(tree);
  for (const path of paths) checkEntry(tree, path);
  // The root's own mode comes last of all: until then nobody else may look inside.
  const outer = mkdtempSync(join(dirname(target), `.${basename(target)}.`));
  try {
    const root = Buffer.from(join(outer, "tree"));
    mkdirSync(root, { mode: 0o700 });
    writeEntries(request, root, paths);
    syncFilesystem(outer);
    renameUnlessThere(root, target);
    fsyncDirectory(dirname(target));
  } finally {
    rmSync(outer, { recursive: true, force: true });
  }
}

function renameUnlessThere(root: Buffer, target: string): void {
  try {
    renameSync(root, target);
  } catch (error) {
    if (!hasCode(error, "ENOTEMPTY", "EEXIST")) throw error;
  }
}

function checkEntry(tree: Tree, path: TreePath): void {
  const inode = tree.get(path);
  if (inode === undefined) return;
  if (tree.get(parentPath(path))?.type !== "dir") {
    throw new AtomfsError("bad-data", `Cannot check out ${displayText(path)}: its parent is no directory`);
  }
  const special =
    inode.type === "char" && inode.major === 0 && inode.minor === 0
      ? "an overlay whiteout"
      : [...inode.xattrs.keys()].find((name) => name.startsWith("trusted.overlay."));
  if (special !== undefined) {
    throw new AtomfsError(
      "unsupported",
      `Cannot check out ${displayText(path)}: it is or has ${special}, which overlay would obey, not show`,
      { hints: ["a kernel that mounts EROFS images can run this image"] },
    );
  }
}

function writeEntries(request: CheckoutRequest, root: Buffer, paths: readonly TreePath[]): void {
  const { tree } = request;
  const made = new Map<Inode, Buffer>();
  const directories: [Buffer, Inode][] = [];
  for (const path of paths) {
    const inode = tree.get(path);
    if (inode === undefined) continue;
    const name = Buffer.concat([root, toBytes(path)]);
    const first = made.get(inode);
    if (inode.type === "dir") {
      if (path !== ROOT) mkdirSync(name, { mode: 0o700 });
      directories.push([name, inode]);
    } else if (first !== undefined) {
      linkSync(first, name);
    } else {
      writeInode(request, name, path, inode);
      setAttributes(name, inode);
      made.set(inode, name);
    }
  }
  // Last of all, because what is made in a directory changes its time.
  for (const [name, inode] of directories.reverse()) setAttributes(name, inode);
}

function writeInode(
  request: CheckoutRequest,
  name: Buffer,
  path: TreePath,
  inode: Exclude<Inode, { type: "dir" }>,
): void {
  if (inode.type === "file") writeFile(request, name, path, inode);
  else if (inode.type === "symlink") symlinkSync(symlinkTarget(inode.target, path), name);
  else if ("major" in inode) makeNode(name, inode.type, [inode.major, inode.minor]);
  else makeNode(name, inode.type);
}

function symlinkTarget(target: ByteString, path: TreePath): Buffer {
  if (target === "" || target.includes("\0")) {
    throw new AtomfsError("bad-data", `Cannot check out ${displayText(path)}: its link target is not a name`);
  }
  return toBytes(target);
}

function writeFile(request: CheckoutRequest, name: Buffer, path: TreePath, inode: FileInode): void {
  using file = openNoFollow(name, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
  const { content } = inode;
  if (content.kind === "inline") {
    writeAll(file.number, toBytes(content.bytes));
    return;
  }
  try {
    using object = openNoFollow(request.objectPath(content.digest), constants.O_RDONLY);
    copyOrReflink(object.number, file.number, content.size, path as string);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    throw new AtomfsError(
      "bad-data",
      `Cannot check out ${displayText(path)}: object ${content.digest} is missing`,
      { cause: error },
    );
  }
}

/** In this order: a change of owner drops setuid and capabilities, and everything changes the time. */
function setAttributes(name: Buffer, inode: Inode): void {
  lchownSync(name, inode.uid, inode.gid);
  if (inode.type !== "symlink") chmodSync(name, inode.mode);
  for (const [key, value] of inode.xattrs) setXattr(name, key, value);
  setTimes(name, inode.mtime);
}
