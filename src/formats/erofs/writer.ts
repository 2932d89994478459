import { FixedWriter } from "../../bytes/fixed-writer.ts";
import { writeStruct } from "../../bytes/struct.ts";
import type { ByteString } from "../../core/bytestring.ts";
import type { Tree } from "../../core/tree.ts";
import type { Placed, PlacedEntry } from "./inodes.ts";
import * as layout from "./layout.ts";
import { BLOCK, DATA_LAYOUTS } from "./layout.ts";
import { type ErofsNode, nodesOfTree } from "./node.ts";
import { type Plan, planImage } from "./placement.ts";
import { nameFilter, type Xattr } from "./xattr.ts";

/**
 * The composefs image of a tree, byte for byte what `mkcomposefs --min-version=0 --max-version=1` makes of it
 * (layout: docs/formats/erofs.md). A file's object must lie at objectPath(digest) of the data directory.
 * @throws AtomfsError "bad-data" for a tree that the format cannot hold
 */
export function writeErofs(tree: Tree): Uint8Array {
  return writeNodes(nodesOfTree(tree));
}

/** As `writeErofs`, for what a dump can say and a tree cannot: other link counts, data that is no object. */
export function writeNodes(root: ErofsNode): Uint8Array {
  const plan = planImage(root);
  const writer = new FixedWriter(plan.size);
  writeHeads(writer, plan);
  for (const placed of plan.inodes) writeInode(writer, placed, plan);
  writer.align(layout.SLOT);
  for (const xattr of plan.shared) writeXattr(writer, xattr);
  writer.align(BLOCK);
  for (const placed of plan.inodes) if (placed.blocks > 0) writeBlocks(writer, placed);
  return writer.finish();
}

function writeHeads(writer: FixedWriter, plan: Plan): void {
  writeStruct(writer, layout.COMPOSEFS_HEADER, {
    magic: layout.COMPOSEFS_MAGIC,
    version: layout.COMPOSEFS_HEADER_VERSION,
    flags: plan.hasAcl ? layout.FLAG_HAS_ACL : 0,
    composefsVersion: plan.version,
  });
  writer.seek(layout.SUPERBLOCK_OFFSET);
  writeStruct(writer, layout.SUPERBLOCK, {
    magic: layout.EROFS_MAGIC,
    featureCompat: layout.FEATURE_COMPAT,
    blockSizeBits: Math.log2(BLOCK),
    // The first inode, but behind padding where its data would cross a block.
    rootNid: (plan.inodes[0]?.offset ?? layout.INODES_OFFSET) / layout.SLOT,
    inodeCount: plan.inodes.length,
    buildTime: plan.oldest.sec,
    buildTimeNsec: plan.oldest.nsec,
    blocks: plan.size / BLOCK,
    xattrBlock: Math.floor(plan.inodesEnd / BLOCK),
  });
}

function writeInode(writer: FixedWriter, placed: Placed, plan: Plan): void {
  const { inode } = placed;
  const { format, size, data } = describeData(placed);
  const { xattrSize } = placed;
  const common = {
    format: format * 2 + (placed.isCompact ? 0 : layout.FORMAT_EXTENDED),
    xattrCount: xattrSize === 0 ? 0 : (xattrSize - layout.XATTR_HEADER_SIZE) / 4 + 1,
    mode: layout.FILE_TYPES[placed.type].mode | inode.mode,
    links: placed.links,
    size,
    data,
    ino: placed.ino,
    uid: inode.uid,
    gid: inode.gid,
  };
  writer.seek(placed.offset);
  if (placed.isCompact) writeStruct(writer, layout.COMPACT_INODE, common);
  else {
    const { sec, nsec } = inode.mtime;
    writeStruct(writer, layout.EXTENDED_INODE, { ...common, mtime: sec, mtimeNsec: nsec });
  }
  if (xattrSize > 0) writeXattrs(writer, placed, plan);
  if (placed.tail > 0) writeTail(writer, placed);
}

/** Data layout, size and the inode field whose meaning depends on the type. */
function describeData(placed: Placed): {
  readonly format: number;
  readonly size: number;
  readonly data: number;
} {
  const { inode } = placed;
  const format = placed.tail > 0 ? DATA_LAYOUTS.flatInline : DATA_LAYOUTS.flatPlain;
  switch (inode.type) {
    case "dir":
      return { format, size: placed.blocks * BLOCK + placed.tail, data: placed.firstBlock };
    case "symlink":
      return { format, size: inode.target.length, data: placed.firstBlock };
    case "file":
      if (inode.content.kind === "inline") {
        return { format, size: inode.content.bytes.length, data: placed.firstBlock };
      }
      return {
        format: DATA_LAYOUTS.chunkBased,
        size: inode.content.size,
        data: layout.chunksOf(inode.content.size).format,
      };
    case "char":
    case "block":
      return { format, size: 0, data: layout.encodeDevice(inode.major, inode.minor) };
    case "fifo":
    case "socket":
      return { format, size: 0, data: 0 };
  }
}

function writeXattrs(writer: FixedWriter, placed: Placed, plan: Plan): void {
  writeStruct(writer, layout.XATTR_HEADER, {
    nameFilter: nameFilter(placed.xattrs),
    sharedCount: placed.sharedXattrs.length,
  });
  for (const xattr of placed.sharedXattrs) writer.u32(((plan.inodesEnd % BLOCK) + xattr.sharedOffset) / 4);
  for (const xattr of placed.inlineXattrs) writeXattr(writer, xattr);
}

function writeXattr(writer: FixedWriter, { name, value }: Xattr): void {
  writeStruct(writer, layout.XATTR_ENTRY, {
    nameLength: name.suffix.length,
    nameIndex: name.index,
    valueLength: value.length,
  });
  writer.byteString(name.suffix);
  writer.byteString(value);
  writer.align(4);
}

function writeTail(writer: FixedWriter, placed: Placed): void {
  const { inode } = placed;
  if (inode.type === "dir") {
    writeDirents(writer, placed.entries.slice(placed.blockStarts.at(-1)));
  } else if (inode.type === "file" && inode.content.kind !== "inline") {
    for (let left = placed.tail; left > 0; left -= 4) writer.u32(layout.NULL_CHUNK);
  } else writer.byteString(flatData(placed));
}

/** The whole content of a symlink or of a file in the image. */
function flatData({ inode }: Placed): ByteString {
  if (inode.type === "symlink") return inode.target;
  return (inode.type === "file" && inode.content.kind === "inline" ? inode.content.bytes : "") as ByteString;
}

function writeBlocks(writer: FixedWriter, placed: Placed): void {
  if (placed.inode.type !== "dir") {
    writer.byteString(flatData(placed));
    writer.align(BLOCK);
    return;
  }
  for (let i = 0; i < placed.blocks; i++) {
    writeDirents(writer, placed.entries.slice(placed.blockStarts[i], placed.blockStarts[i + 1]));
    writer.align(BLOCK);
  }
}

function writeDirents(writer: FixedWriter, entries: readonly PlacedEntry[]): void {
  let nameOffset = entries.length * layout.DIRENT_SIZE;
  for (const { name, placed } of entries) {
    writeStruct(writer, layout.DIRENT, {
      nid: placed.offset / layout.SLOT,
      nameOffset,
      fileType: layout.FILE_TYPES[placed.type].dirent,
    });
    nameOffset += name.length;
  }
  for (const { name } of entries) writer.byteString(name);
}
