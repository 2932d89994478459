import { createHash } from "node:crypto";
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import {
  type ByteString,
  compareBytes,
  displayText,
  fromBytes,
  joinPath,
  ROOT,
  type TreePath,
  toBytes,
} from "../../src/core/bytestring.ts";
import { type Inode, type ReadObject, readContent, type Tree } from "../../src/core/tree.ts";
import { readXattrs } from "../../src/sys/xattr.ts";

const TYPES: Readonly<Record<number, Inode["type"]>> = {
  1: "fifo",
  2: "char",
  4: "dir",
  6: "block",
  8: "file",
  10: "symlink",
  12: "socket",
};

/** One name as the filesystem shows it, as text that can be compared and printed. */
type Seen = { readonly facts: Readonly<Record<string, string>>; readonly linkKey: string };

/** What overlay itself puts on files of its upper; not part of what a container sees. */
const OVERLAYS_OWN = /^trusted\.overlay\.(?!overlay\.)/;

/**
 * Reads everything below `directory`, and says in which ways it is not the tree: paths, types, modes, owners, mtimes
 * in nanoseconds, xattrs, link targets, device numbers, contents and hard links. An empty list means equal.
 */
export function compareTree(tree: Tree, directory: string, readObject: ReadObject): string[] {
  const seen = readBack(directory);
  const differences: string[] = [];
  const groups = new Map<Inode, Set<string>>();
  const names = new Map<Inode, number>();
  for (const inode of tree.values()) names.set(inode, (names.get(inode) ?? 0) + 1);
  for (const [path, inode] of tree) {
    const found = seen.get(path);
    const shown = displayText(path) || "/";
    if (found === undefined) {
      differences.push(`${shown}: missing`);
      continue;
    }
    const want = wantedFacts(inode, readObject, names.get(inode) ?? 0);
    for (const key of new Set([...Object.keys(want), ...Object.keys(found.facts)])) {
      if (want[key] !== found.facts[key]) {
        differences.push(`${shown}: ${key} is ${found.facts[key]}, want ${want[key]}`);
      }
    }
    const keys = groups.get(inode) ?? new Set();
    groups.set(inode, keys.add(found.linkKey));
  }
  for (const path of seen.keys()) {
    if (!tree.has(path)) differences.push(`${displayText(path)}: not in the tree`);
  }
  return [...differences, ...linkDifferences(groups)].sort(compareBytes);
}

/** Names of one Inode must be one file, names of two Inodes two files. */
function linkDifferences(groups: ReadonlyMap<Inode, ReadonlySet<string>>): string[] {
  const differences: string[] = [];
  const owner = new Map<string, Inode>();
  for (const [inode, keys] of groups) {
    if (keys.size > 1) differences.push(`hard links of one ${inode.type} are ${keys.size} files`);
    for (const key of keys) {
      if (owner.has(key)) differences.push(`two files of the tree are one ${inode.type} on disk (${key})`);
      owner.set(key, inode);
    }
  }
  return differences;
}

function readBack(directory: string): Map<TreePath, Seen> {
  const seen = new Map<TreePath, Seen>();
  const visit = (path: TreePath): void => {
    const name = Buffer.concat([
      Buffer.from(directory),
      toBytes(path === ROOT ? ("/." as ByteString) : path),
    ]);
    const stat = lstatSync(name, { bigint: true });
    seen.set(path, { facts: seenFacts(name, stat), linkKey: `${stat.dev}:${stat.ino}` });
    if (!stat.isDirectory()) return;
    for (const child of readdirSync(name, { encoding: "buffer" })) visit(joinPath(path, fromBytes(child)));
  };
  visit(ROOT);
  return seen;
}

function seenFacts(name: Buffer, stat: BigIntStats): Record<string, string> {
  const type = TYPES[Number(stat.mode >> 12n)] ?? "unknown";
  const facts: Record<string, string> = {
    type,
    uid: String(stat.uid),
    gid: String(stat.gid),
    mtime: String(stat.mtimeNs),
    xattrs: xattrText([...readXattrs(name)].filter(([key]) => !OVERLAYS_OWN.test(key))),
  };
  // Linux gives every symlink mode 0777 on some filesystems and the stored one on others; nothing obeys it.
  if (type !== "symlink") facts["mode"] = (stat.mode & 0o7777n).toString(8);
  if (type === "file") facts["content"] = contentText(readFileSync(name));
  if (type === "symlink")
    facts["target"] = displayText(fromBytes(readlinkSync(name, { encoding: "buffer" })));
  if (type === "char" || type === "block") facts["device"] = deviceText(stat.rdev);
  if (type !== "dir") facts["links"] = String(stat.nlink);
  return facts;
}

function wantedFacts(inode: Inode, readObject: ReadObject, names: number): Record<string, string> {
  const facts: Record<string, string> = {
    type: inode.type,
    uid: String(inode.uid),
    gid: String(inode.gid),
    mtime: String(BigInt(inode.mtime.sec) * 1_000_000_000n + BigInt(inode.mtime.nsec)),
    xattrs: xattrText([...inode.xattrs]),
  };
  if (inode.type !== "symlink") facts["mode"] = inode.mode.toString(8);
  if (inode.type !== "dir") facts["links"] = String(names);
  if (inode.type === "file") facts["content"] = contentText(readContent(inode.content, readObject));
  if (inode.type === "symlink") facts["target"] = displayText(inode.target);
  if (inode.type === "char" || inode.type === "block") facts["device"] = `${inode.major}:${inode.minor}`;
  return facts;
}

function xattrText(xattrs: readonly (readonly [ByteString, ByteString])[]): string {
  return xattrs
    .map(([name, value]) => `${displayText(name)}=${JSON.stringify(value)}`)
    .sort(compareBytes)
    .join(" ");
}

function contentText(bytes: Uint8Array): string {
  return `${bytes.length} bytes ${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Both halves of Linux's dev_t are split in two; this is the way of user space (glibc's makedev). */
function deviceText(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn & 0xffffffffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn & 0xffffffffn);
  return `${major}:${minor}`;
}
