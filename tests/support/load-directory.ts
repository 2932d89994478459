import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import {
  type ByteString,
  fromBytes,
  joinPath,
  ROOT,
  type TreePath,
  toBytes,
} from "../../src/core/bytestring.ts";
import type { VerityDigest } from "../../src/core/digest.ts";
import {
  EMPTY_XATTRS,
  type FileContent,
  INLINE_MAX,
  type Inode,
  type MutableTree,
  type ReadObject,
  type Tree,
} from "../../src/core/tree.ts";
import { verityDigest } from "../../src/core/verity.ts";

/**
 * Reads a directory of the host as a tree, without extended attributes. Objects are read again from their files when
 * asked for, so the directory must stay as it is.
 */
export function loadDirectory(directory: string): { tree: Tree; readObject: ReadObject } {
  const tree: MutableTree = new Map();
  const files = new Map<VerityDigest, Buffer>();
  const byHostInode = new Map<string, Inode>();
  const top = Buffer.from(directory);
  const hostPath = (path: TreePath): Buffer => Buffer.concat([top, toBytes(path)]);

  const contentOf = (path: TreePath): FileContent => {
    const bytes = readFileSync(hostPath(path));
    if (bytes.length <= INLINE_MAX) return { kind: "inline", bytes: fromBytes(bytes) };
    const digest = verityDigest(bytes);
    files.set(digest, hostPath(path));
    return { kind: "object", digest, size: bytes.length };
  };

  const inodeOf = (path: TreePath): Inode => {
    const stat = lstatSync(hostPath(path), { bigint: true });
    const key = `${stat.dev}:${stat.ino}`;
    const known = byHostInode.get(key);
    if (known !== undefined) return known;
    const rdev = Number(stat.rdev);
    const attributes = {
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtime: {
        sec: Math.floor(Number(stat.mtimeNs / 1000000000n)),
        nsec: Number(stat.mtimeNs % 1000000000n),
      },
      xattrs: EMPTY_XATTRS,
    };
    const device = { major: (rdev >> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00) };
    let inode: Inode;
    if (stat.isDirectory()) return { ...attributes, type: "dir" };
    if (stat.isFile()) inode = { ...attributes, type: "file", content: contentOf(path) };
    else if (stat.isSymbolicLink()) {
      const target = fromBytes(readlinkSync(hostPath(path), "buffer"));
      inode = { ...attributes, type: "symlink", target };
    } else if (stat.isCharacterDevice()) inode = { ...attributes, ...device, type: "char" };
    else if (stat.isBlockDevice()) inode = { ...attributes, ...device, type: "block" };
    else inode = { ...attributes, type: stat.isFIFO() ? "fifo" : "socket" };
    byHostInode.set(key, inode);
    return inode;
  };

  const pending: TreePath[] = [ROOT];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const inode = inodeOf(path);
    tree.set(path, inode);
    if (inode.type !== "dir") continue;
    for (const name of readdirSync(hostPath(path), { encoding: "buffer" })) {
      pending.push(joinPath(path, fromBytes(name) as ByteString));
    }
  }
  const readObject: ReadObject = (digest) => {
    const file = files.get(digest);
    if (file === undefined) throw new Error(`No file of the directory has digest ${digest}`);
    return readFileSync(file);
  };
  return { tree, readObject };
}
