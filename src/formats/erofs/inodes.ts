import type { ByteString } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { compareMtime, EMPTY_XATTRS, type Mtime } from "../../core/tree.ts";
import { type FileType, MAX_VERSION, MIN_VERSION } from "./layout.ts";
import { checkInode } from "./limits.ts";
import { type ErofsEntry, type ErofsInode, type ErofsNode, isWhiteout, sortEntries } from "./node.ts";
import { decoratedXattrs, FANOUT_NAMES, SELINUX } from "./overlay.ts";
import type { Xattr, XattrTable } from "./xattr.ts";

const EMPTY = "" as ByteString;

/** One inode of the image and where it goes. */
export type Placed = {
  readonly inode: ErofsInode;
  /** Its type in the image, where a whiteout of the tree is a regular file. */
  readonly type: FileType;
  links: number;
  /** With "." and "..", sorted; empty for what is no directory. */
  entries: readonly PlacedEntry[];
  holdsWhiteouts: boolean;
  xattrs: readonly Xattr[];
  sharedXattrs: readonly Xattr[];
  inlineXattrs: readonly Xattr[];
  xattrSize: number;
  isCompact: boolean;
  /** Breadth-first index. */
  ino: number;
  /** Byte offset in the image. */
  offset: number;
  /** Bytes directly behind the xattrs: the end of the data, or a chunk map. */
  tail: number;
  /** Number of data blocks, and the first one's number. */
  blocks: number;
  firstBlock: number;
  /** Index of the first entry of each directory block. */
  blockStarts: readonly number[];
};

export type PlacedEntry = { readonly name: ByteString; readonly placed: Placed };

export type Inodes = {
  /** In the order of the image. */
  readonly inodes: readonly Placed[];
  readonly oldest: Mtime;
  readonly hasAcl: boolean;
  /** The composefs format version that the tree needs. */
  readonly version: number;
};

function newPlaced(inode: ErofsInode, type: FileType, links: number): Placed {
  return {
    inode,
    type,
    links,
    entries: [],
    holdsWhiteouts: false,
    xattrs: [],
    sharedXattrs: [],
    inlineXattrs: [],
    xattrSize: 0,
    isCompact: false,
    ino: 0,
    offset: 0,
    tail: 0,
    blocks: 0,
    firstBlock: 0,
    blockStarts: [],
  };
}

/**
 * Lists the inodes breadth-first, decorated. The inode of hard links stands where the first of its names (as `walk`
 * orders them) stands. @throws AtomfsError "bad-data"
 */
export function collectInodes(root: ErofsNode, table: XattrTable): Inodes {
  const { placedOf, firstNames, version } = findFirstNames(root);
  const rootPlaced = placedOf.get(root) as Placed;
  const queue: { node: ErofsNode; placed: Placed; parent: Placed }[] = [
    { node: root, placed: rootPlaced, parent: rootPlaced },
  ];
  const inodes: Placed[] = [];
  let oldest = root.inode.mtime;
  let hasAcl = false;
  for (let head = 0; head < queue.length; head++) {
    const { node, placed, parent } = queue[head] as (typeof queue)[number];
    const { inode } = placed;
    placed.ino = inodes.length;
    inodes.push(placed);
    if (compareMtime(inode.mtime, oldest) < 0) oldest = inode.mtime;
    hasAcl ||= inode.xattrs.size > 0 && hasPosixAcl(inode);
    placed.xattrs = table.use(
      decoratedXattrs(inode, {
        isRoot: node === root,
        holdsWhiteouts: placed.holdsWhiteouts,
        isEscapedWhiteout: placed.type === "file" && isWhiteout(inode),
      }),
    );
    if (inode.type !== "dir") continue;
    const entries: PlacedEntry[] = [
      { name: "." as ByteString, placed },
      { name: ".." as ByteString, placed: parent },
    ];
    const named = node === root ? withFanout(node) : node.entries;
    for (const entry of named) {
      let child = placedOf.get(entry.node);
      if (child === undefined) {
        child = newPlaced(entry.node.inode, "char", 1);
        firstNames.add(entry);
      }
      entries.push({ name: entry.name, placed: child });
      if (firstNames.has(entry)) queue.push({ node: entry.node, placed: child, parent: placed });
    }
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    placed.entries = entries;
    placed.links = entries.filter((entry) => entry.placed.type === "dir").length;
  }
  return { inodes, oldest, hasAcl, version };
}

function findFirstNames(root: ErofsNode): {
  readonly placedOf: Map<ErofsNode, Placed>;
  readonly firstNames: Set<ErofsEntry>;
  readonly version: number;
} {
  const placedOf = new Map<ErofsNode, Placed>();
  const firstNames = new Set<ErofsEntry>();
  let version = MIN_VERSION;
  const rootEntry: ErofsEntry = { name: EMPTY, node: root };
  const stack = [{ entry: rootEntry, parent: undefined as Placed | undefined }];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { entry, parent } = top;
    const { node } = entry;
    if (placedOf.has(node)) {
      if (node.inode.type === "dir") throw new AtomfsError("bad-data", "A directory has two names");
      continue;
    }
    checkInode(entry.name, node.inode);
    const placed = newPlaced(node.inode, isWhiteout(node.inode) ? "file" : node.inode.type, node.links);
    placedOf.set(node, placed);
    firstNames.add(entry);
    if (parent !== undefined && isWhiteout(node.inode)) {
      parent.holdsWhiteouts = true;
      version = MAX_VERSION;
    }
    for (let i = node.entries.length - 1; i >= 0; i--) {
      stack.push({ entry: node.entries[i] as ErofsEntry, parent: placed });
    }
  }
  return { placedOf, firstNames, version };
}

function hasPosixAcl(inode: ErofsInode): boolean {
  return (
    inode.xattrs.has("system.posix_acl_access" as ByteString) ||
    inode.xattrs.has("system.posix_acl_default" as ByteString)
  );
}

/** The root's entries and, for each of the names 00 to ff that it hasn't, a whiteout. */
function withFanout(root: ErofsNode): ErofsEntry[] {
  const taken = new Set(root.entries.map(({ name }) => name));
  const { uid, gid, mtime, xattrs } = root.inode;
  const selinux = xattrs.get(SELINUX);
  const whiteout: ErofsInode = {
    type: "char",
    major: 0,
    minor: 0,
    mode: 0o644,
    uid,
    gid,
    mtime,
    xattrs: selinux === undefined ? EMPTY_XATTRS : new Map([[SELINUX, selinux]]),
  };
  const entries = [...root.entries];
  for (const name of FANOUT_NAMES) {
    if (!taken.has(name)) entries.push({ name, node: { inode: whiteout, links: 1, entries: [] } });
  }
  sortEntries(entries);
  return entries;
}
