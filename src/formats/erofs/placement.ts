import { AtomfsError } from "../../core/errors.ts";
import { compareMtime, type Mtime } from "../../core/tree.ts";
import { collectInodes, type Inodes, type Placed, type PlacedEntry } from "./inodes.ts";
import {
  alignUp,
  BLOCK,
  COMPACT_INODE_SIZE,
  chunksOf,
  DIRENT_SIZE,
  EXTENDED_INODE_SIZE,
  INODES_OFFSET,
  MAX_CHUNKS,
  SLOT,
  XATTR_HEADER_SIZE,
} from "./layout.ts";
import type { ErofsNode } from "./node.ts";
import { splitShared, type Xattr, XattrTable } from "./xattr.ts";

export type Plan = Inodes & {
  readonly inodesEnd: number;
  readonly shared: readonly Xattr[];
  /** Size of metadata and shared xattrs, whole blocks: data blocks follow. */
  readonly dataOffset: number;
  readonly size: number;
};

/** First pass of the writer: decides what is in the image and where. @throws AtomfsError "bad-data" */
export function planImage(root: ErofsNode): Plan {
  const table = new XattrTable();
  const found = collectInodes(root, table);
  const { inodes, oldest } = found;
  const { shared, size: sharedSize } = table.placeShared();
  let at = INODES_OFFSET;
  for (const placed of inodes) at = place(placed, at, oldest);
  const inodesEnd = alignUp(at, SLOT);
  const dataOffset = alignUp(inodesEnd + sharedSize, BLOCK);
  let block = dataOffset / BLOCK;
  for (const placed of inodes) {
    if (placed.blocks === 0) continue;
    placed.firstBlock = block;
    block += placed.blocks;
  }
  return { ...found, inodesEnd, shared, dataOffset, size: block * BLOCK };
}

/** Puts an inode at `at` or a little behind, so that its tail crosses no block boundary. Returns where it ends. */
function place(placed: Placed, at: number, oldest: Mtime): number {
  const { inode } = placed;
  const { shared, inline } = splitShared(placed.xattrs);
  placed.sharedXattrs = shared;
  placed.inlineXattrs = inline;
  if (placed.xattrs.length > 0) {
    placed.xattrSize = inline.reduce((sum, { size }) => sum + size, XATTR_HEADER_SIZE + 4 * shared.length);
  }
  const size = measureData(placed);
  placed.isCompact =
    compareMtime(inode.mtime, oldest) === 0 &&
    Math.max(inode.uid, inode.gid, placed.links) <= 0xffff &&
    size <= 0xffffffff;
  const head = (placed.isCompact ? COMPACT_INODE_SIZE : EXTENDED_INODE_SIZE) + placed.xattrSize;
  const start = alignUp(at, SLOT);
  placed.offset =
    inode.type === "symlink" ? placeSymlink(placed, start, head) : placeOther(placed, start, head);
  return placed.offset + head + placed.tail;
}

/** Blocks and tail of an inode's data before it is placed. Returns its size as the inode tells it. */
function measureData(placed: Placed): number {
  const { inode } = placed;
  if (inode.type === "dir") {
    placed.blockStarts = cutDirectory(placed);
    return placed.blocks * BLOCK + placed.tail;
  }
  if (inode.type === "symlink") {
    placed.tail = inode.target.length;
    return inode.target.length;
  }
  if (inode.type !== "file") return 0;
  if (inode.content.kind === "inline") {
    setTail(placed, inode.content.bytes.length);
    return inode.content.bytes.length;
  }
  const { count } = chunksOf(inode.content.size);
  if (count > MAX_CHUNKS)
    throw new AtomfsError("bad-data", `File of ${inode.content.size} bytes is too large`);
  placed.tail = count * 4;
  return inode.content.size;
}

/** What is left behind the whole blocks goes behind the inode if that is at most half a block. */
function setTail(placed: Placed, lastBytes: number): void {
  if (lastBytes > BLOCK / 2) placed.blocks++;
  else placed.tail = lastBytes;
}

function cutDirectory(placed: Placed): number[] {
  const starts = [0];
  let used = 0;
  for (let i = 0; i < placed.entries.length; i++) {
    const need = DIRENT_SIZE + (placed.entries[i] as PlacedEntry).name.length;
    if (used + need > BLOCK) {
      starts.push(i);
      used = 0;
    }
    used += need;
  }
  placed.blocks = starts.length - 1;
  setTail(placed, used);
  return starts;
}

/** Inode and target lie in one block; a target that makes that impossible gets a data block. */
function placeSymlink(placed: Placed, start: number, head: number): number {
  const total = head + placed.tail;
  const crosses = Math.floor(start / BLOCK) !== Math.floor((start + total - 1) / BLOCK);
  if (total >= BLOCK) {
    placed.blocks = 1;
    placed.tail = 0;
  }
  return crosses ? alignUp(start, BLOCK) : start;
}

/** The tail lies in one block; where padding cannot achieve that, it gets a data block. */
function placeOther(placed: Placed, start: number, head: number): number {
  const room = BLOCK - ((start + head) % BLOCK);
  if (room >= placed.tail) return start;
  const padded = start + alignUp(room, SLOT);
  if (placed.tail <= BLOCK - ((padded + head) % BLOCK)) return padded;
  if (placed.inode.type === "file" && placed.inode.content.kind !== "inline") {
    throw new AtomfsError(
      "bad-data",
      `File of ${placed.inode.content.size} bytes: its chunk map does not fit`,
    );
  }
  placed.blocks++;
  placed.tail = 0;
  return alignUp(start, BLOCK);
}
