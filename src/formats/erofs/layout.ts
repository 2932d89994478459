/**
 * The composefs format versions that are pinned: base version 0, raised to 1 only if a tree holds a whiteout.
 * The same as `mkcomposefs --min-version=0 --max-version=1`. A change gives every molecule another name.
 */
export const MIN_VERSION = 0;
export const MAX_VERSION = 1;

export const BLOCK = 4096;
/** Inodes start on multiples of this; a nid is an inode's offset divided by it. */
export const SLOT = 32;
export const SUPERBLOCK_OFFSET = 1024;
export const INODES_OFFSET = 1152;

export const COMPOSEFS_MAGIC = 0xd078629a;
export const COMPOSEFS_HEADER_VERSION = 1;
/** Header flag: some inode has a POSIX ACL, so the image must not be mounted with noacl. */
export const FLAG_HAS_ACL = 1;
export const EROFS_MAGIC = 0xe0f5e1e2;
/** MTIME and XATTR_FILTER. */
export const FEATURE_COMPAT = 0x6;

/** At offset 0; zeros follow up to the superblock. */
export const COMPOSEFS_HEADER = [
  ["magic", "u32"],
  ["version", "u32"],
  ["flags", "u32"],
  ["composefsVersion", "u32"],
  ["unused", 16],
] as const;

/** At offset 1024 (Linux fs/erofs/erofs_fs.h, struct erofs_super_block). */
export const SUPERBLOCK = [
  ["magic", "u32"],
  ["checksum", "u32"],
  ["featureCompat", "u32"],
  ["blockSizeBits", "u8"],
  ["extensionSlots", "u8"],
  ["rootNid", "u16"],
  ["inodeCount", "u64"],
  ["buildTime", "i64"],
  ["buildTimeNsec", "u32"],
  ["blocks", "u32"],
  ["metaBlock", "u32"],
  ["xattrBlock", "u32"],
  ["uuid", 16],
  ["volumeName", 16],
  ["featureIncompat", "u32"],
  ["compressionAlgorithms", "u16"],
  ["extraDevices", "u16"],
  ["deviceTableSlot", "u16"],
  ["directoryBlockBits", "u8"],
  ["xattrPrefixCount", "u8"],
  ["xattrPrefixStart", "u32"],
  ["packedNid", "u64"],
  ["xattrFilterReserved", "u8"],
  ["reserved", 23],
] as const;

export const COMPACT_INODE = [
  ["format", "u16"],
  ["xattrCount", "u16"],
  ["mode", "u16"],
  ["links", "u16"],
  ["size", "u32"],
  ["reserved1", 4],
  ["data", "u32"],
  ["ino", "u32"],
  ["uid", "u16"],
  ["gid", "u16"],
  ["reserved2", 4],
] as const;
export const COMPACT_INODE_SIZE = 32;

export const EXTENDED_INODE = [
  ["format", "u16"],
  ["xattrCount", "u16"],
  ["mode", "u16"],
  ["reserved1", 2],
  ["size", "u64"],
  ["data", "u32"],
  ["ino", "u32"],
  ["uid", "u32"],
  ["gid", "u32"],
  ["mtime", "i64"],
  ["mtimeNsec", "u32"],
  ["links", "u32"],
  ["reserved2", 16],
] as const;
export const EXTENDED_INODE_SIZE = 64;

/** Bit 0 of an inode's format. */
export const FORMAT_EXTENDED = 1;
/** Bits 1 to 3 of an inode's format. */
export const DATA_LAYOUTS = { flatPlain: 0, flatInline: 2, chunkBased: 4 } as const;

/** A chunk that is a hole; external files have only such ones, their data comes from overlay's redirect. */
export const NULL_CHUNK = 0xffffffff;
/** Chunk format is a power of two of blocks: at most 2^31 blocks, 8 TiB. */
export const MAX_CHUNK_FORMAT = 31;
export const MAX_CHUNKS = 1024;

export const DIRENT = [
  ["nid", "u64"],
  ["nameOffset", "u16"],
  ["fileType", "u8"],
  ["reserved", 1],
] as const;
export const DIRENT_SIZE = 12;

/** Before an inode's xattrs; the ids of shared ones follow, then the inline ones. */
export const XATTR_HEADER = [
  ["nameFilter", "u32"],
  ["sharedCount", "u8"],
  ["reserved", 7],
] as const;
export const XATTR_HEADER_SIZE = 12;

/** Then name, value, and zeros up to a multiple of 4. */
export const XATTR_ENTRY = [
  ["nameLength", "u8"],
  ["nameIndex", "u8"],
  ["valueLength", "u16"],
] as const;
export const XATTR_ENTRY_SIZE = 4;

export type FileType = "file" | "dir" | "char" | "block" | "fifo" | "socket" | "symlink";

/** The file type bits of st_mode, and EROFS's number in directory entries. */
export const FILE_TYPES: Readonly<Record<FileType, { readonly mode: number; readonly dirent: number }>> = {
  file: { mode: 0o100000, dirent: 1 },
  dir: { mode: 0o040000, dirent: 2 },
  char: { mode: 0o020000, dirent: 3 },
  block: { mode: 0o060000, dirent: 4 },
  fifo: { mode: 0o010000, dirent: 5 },
  socket: { mode: 0o140000, dirent: 6 },
  symlink: { mode: 0o120000, dirent: 7 },
};

const TYPE_OF_MODE: ReadonlyMap<number, FileType> = new Map(
  (Object.keys(FILE_TYPES) as FileType[]).map((type) => [FILE_TYPES[type].mode, type]),
);

export function fileTypeOfMode(mode: number): FileType | undefined {
  return TYPE_OF_MODE.get(mode & 0o170000);
}

export const MAX_NAME = 255;
/** As the kernel's PATH_MAX without its NUL. */
export const MAX_SYMLINK = 4095;
/** Inline content beyond this many bytes would need more than one data block; AtomFS itself stops at 64. */
export const MAX_INLINE: number = BLOCK;

export const MAX_MAJOR = 0xfff;
export const MAX_MINOR = 0xfffff;

/** Linux's new_encode_dev, also what composefs-dump(5) calls RDEV. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export function decodeDevice(rdev: number): { readonly major: number; readonly minor: number } {
  return { major: (rdev >>> 8) & MAX_MAJOR, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}

export function alignUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** How an external file of `size` bytes (at least 1) is cut in chunks: as few as possible, no larger than needed. */
export function chunksOf(size: number): { readonly format: number; readonly count: number } {
  let format = 0;
  while (format < MAX_CHUNK_FORMAT && BLOCK * 2 ** format < size) format++;
  return { format, count: Math.ceil(size / (BLOCK * 2 ** format)) };
}
