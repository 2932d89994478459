import { Cursor } from "../../bytes/cursor.ts";
import { readStruct } from "../../bytes/struct.ts";
import type { ByteString } from "../../core/bytestring.ts";
import type { Mtime } from "../../core/tree.ts";
import * as layout from "./layout.ts";
import { BLOCK, DATA_LAYOUTS, type FileType } from "./layout.ts";
import { xattrPrefix } from "./xattr.ts";

/** An inode as it stands in the image. */
export type RawInode = {
  readonly nid: number;
  readonly type: FileType;
  readonly mode: number;
  readonly links: number;
  readonly size: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Mtime;
  readonly dataLayout: number;
  /** First data block, chunk format or device number. */
  readonly data: number;
  /** In the image's order. */
  readonly xattrs: ReadonlyMap<ByteString, ByteString>;
  /** Offset behind the xattrs: inline data or the chunk map. */
  readonly bodyEnd: number;
};

/**
 * Bounds-checked access to the parts of an untrusted composefs image. Nothing in an honest image is read twice, so all that
 * is read together may not exceed the image: a small image cannot unfold into endless data.
 */
export class ErofsImage {
  readonly cursor: Cursor;
  readonly rootNid: number;
  readonly #buildTime: Mtime;
  readonly #xattrArea: number;
  readonly #sharedXattrs = new Map<number, readonly [ByteString, ByteString]>();
  #budget: number;

  /** @throws AtomfsError "bad-data" unless the image is composefs and uses only what the format page lists */
  constructor(image: Uint8Array) {
    const cursor = new Cursor(image, "EROFS image");
    this.cursor = cursor;
    this.#budget = image.length;
    const header = readStruct(cursor, layout.COMPOSEFS_HEADER);
    if (header.magic !== layout.COMPOSEFS_MAGIC || header.version !== layout.COMPOSEFS_HEADER_VERSION) {
      throw cursor.bad("not a composefs image of version 1");
    }
    if (header.composefsVersion > layout.MAX_VERSION) {
      throw cursor.bad(`composefs format version ${header.composefsVersion} is not supported`);
    }
    cursor.seek(layout.SUPERBLOCK_OFFSET, "superblock");
    const superblock = readStruct(cursor, layout.SUPERBLOCK);
    if (superblock.magic !== layout.EROFS_MAGIC) throw cursor.bad("superblock has no EROFS magic");
    const { featureIncompat, blockSizeBits, blocks } = superblock;
    if (featureIncompat !== 0) {
      throw cursor.bad(`EROFS features ${featureIncompat.toString(16)} (hex) are not supported`);
    }
    if (1 << blockSizeBits !== BLOCK || superblock.directoryBlockBits !== 0) {
      throw cursor.bad(`block size 2^${blockSizeBits} is not supported`);
    }
    if (superblock.metaBlock !== 0 || blocks * BLOCK !== image.length) {
      throw cursor.bad(`superblock tells ${blocks} blocks, the image has ${image.length} bytes`);
    }
    this.rootNid = superblock.rootNid;
    this.#buildTime = { sec: superblock.buildTime, nsec: superblock.buildTimeNsec };
    this.#xattrArea = superblock.xattrBlock * BLOCK;
  }

  /** Counts bytes against the budget. */
  spend(bytes: number, field: string): void {
    this.#budget -= bytes;
    if (this.#budget < 0) throw this.cursor.bad(`${field}: parts of the image overlap`);
  }

  inode(nid: number): RawInode {
    const { cursor } = this;
    cursor.seek(nid * layout.SLOT, "inode");
    const format = cursor.u16("inode format");
    cursor.seek(nid * layout.SLOT, "inode");
    const dataLayout = format >> 1;
    if (dataLayout > DATA_LAYOUTS.chunkBased || dataLayout % 2 === 1) {
      throw cursor.bad(`inode ${nid} has format ${format}, which is not supported`);
    }
    let raw: Omit<ReturnType<typeof readStruct<typeof layout.EXTENDED_INODE>>, "reserved1" | "reserved2">;
    let mtime = this.#buildTime;
    if ((format & layout.FORMAT_EXTENDED) === 0) {
      raw = { ...readStruct(cursor, layout.COMPACT_INODE), mtime: 0, mtimeNsec: 0 };
    } else {
      raw = readStruct(cursor, layout.EXTENDED_INODE);
      mtime = { sec: raw.mtime, nsec: raw.mtimeNsec };
    }
    this.spend(layout.COMPACT_INODE_SIZE, "inode");
    const type = layout.fileTypeOfMode(raw.mode);
    if (type === undefined || mtime.nsec > 999_999_999) {
      throw cursor.bad(`inode ${nid} has mode ${raw.mode} and ${mtime.nsec} nanoseconds`);
    }
    const xattrs = this.#xattrs(raw.xattrCount);
    const { links, size, uid, gid, data } = raw;
    const mode = raw.mode & 0o7777;
    return { nid, type, mode, links, size, uid, gid, mtime, dataLayout, data, xattrs, bodyEnd: cursor.at };
  }

  /** The bytes of a flat inode: whole blocks first, then what is inline behind the inode. */
  flatData(inode: RawInode, maxSize: number): Uint8Array {
    const { cursor } = this;
    const { size, dataLayout } = inode;
    if (size > maxSize) throw cursor.bad(`inode ${inode.nid} has ${size} bytes of data, limit ${maxSize}`);
    if (dataLayout === DATA_LAYOUTS.chunkBased) throw cursor.bad(`inode ${inode.nid} has chunks`);
    this.spend(size, "data");
    const inline = dataLayout === DATA_LAYOUTS.flatInline ? size % BLOCK : 0;
    const inBlocks = size - inline;
    let blocks: Uint8Array = new Uint8Array();
    if (inBlocks > 0) {
      cursor.seek(inode.data * BLOCK, "data block");
      blocks = cursor.bytes(inBlocks, "data blocks");
    }
    if (inline === 0) return blocks;
    cursor.seek(inode.bodyEnd, "inline data");
    const tail = cursor.bytes(inline, "inline data");
    return inBlocks === 0 ? tail : Buffer.concat([blocks, tail]);
  }

  /** Reads the xattrs of the inode that ends at the cursor, and leaves the cursor behind them. */
  #xattrs(count: number): ReadonlyMap<ByteString, ByteString> {
    const xattrs = new Map<ByteString, ByteString>();
    if (count === 0) return xattrs;
    const { cursor } = this;
    const end = cursor.at + layout.XATTR_HEADER_SIZE + (count - 1) * 4;
    this.spend(end - cursor.at, "xattrs");
    const { sharedCount } = readStruct(cursor, layout.XATTR_HEADER);
    for (let i = 0; i < sharedCount; i++) this.#add(xattrs, this.#sharedXattr(cursor.u32("shared xattr id")));
    while (cursor.at < end) this.#add(xattrs, this.#xattrEntry());
    if (cursor.at !== end) throw cursor.bad("xattrs do not end where the inode says");
    return xattrs;
  }

  #add(xattrs: Map<ByteString, ByteString>, [name, value]: readonly [ByteString, ByteString]): void {
    if (xattrs.has(name)) throw this.cursor.bad("an inode has an xattr twice");
    xattrs.set(name, value);
  }

  #sharedXattr(id: number): readonly [ByteString, ByteString] {
    const known = this.#sharedXattrs.get(id);
    if (known !== undefined) return known;
    const { cursor } = this;
    const back = cursor.at;
    cursor.seek(this.#xattrArea + id * 4, "shared xattr");
    const start = cursor.at;
    const entry = this.#xattrEntry();
    this.spend(cursor.at - start, "shared xattr");
    this.#sharedXattrs.set(id, entry);
    cursor.seek(back, "shared xattr id");
    return entry;
  }

  #xattrEntry(): readonly [ByteString, ByteString] {
    const { cursor } = this;
    const { nameLength, nameIndex, valueLength } = readStruct(cursor, layout.XATTR_ENTRY);
    const prefix = xattrPrefix(nameIndex);
    const name = prefix + cursor.byteString(nameLength, "xattr name");
    if (prefix === undefined || name === "" || name.includes("\0")) {
      throw cursor.bad(`xattr has name index ${nameIndex} and a name of ${nameLength} bytes`);
    }
    const value = cursor.byteString(valueLength, "xattr value");
    cursor.skip(-(nameLength + valueLength) & 3, "xattr padding");
    return [name as ByteString, value];
  }
}
