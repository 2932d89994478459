import type { ByteString } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import type { Mtime } from "../../core/tree.ts";

export const BLOCK = 512;
/** Longest extension (PAX records, GNU long name, sparse map) of one member, in bytes; as Go's archive/tar. */
export const MAX_EXTENSION: number = 1024 * 1024;
/** Largest expanded size of a sparse member: its holes cost the archive nothing, but cost the reader. */
export const MAX_SPARSE_SIZE: number = 16 * 1024 ** 3;

export type TarType = "file" | "dir" | "symlink" | "hardlink" | "char" | "block" | "fifo";

/** What an archive says of one member, names as the archive spells them ("./usr/bin/", "/etc"). */
export type TarHeader = {
  readonly path: ByteString;
  readonly type: TarType;
  /** Of symlinks and hard links; otherwise "". */
  readonly linkTarget: ByteString;
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number;
  /** 0 to 2^32-1, as `gid`. */
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Mtime;
  /** Bytes of content, holes of a sparse file included; 0 for everything but files. */
  readonly size: number;
  /** Full names ("security.capability") to values. */
  readonly xattrs: ReadonlyMap<ByteString, ByteString>;
  /** Of devices (12 and 20 bits); otherwise 0. */
  readonly major: number;
  readonly minor: number;
};

/** `content` can be read once, and only until the next member is asked for. */
export type TarMember = TarHeader & { readonly content: AsyncIterable<Uint8Array> };

/** A member of an archive that is wholly in memory. */
export type TarFile = TarHeader & { readonly bytes: Uint8Array };

export type TarOptions = {
  /**
   * Whether an archive may end without its two zero blocks. "required" (the default) is the only guard against an
   * archive cut off between two members; choose "optional" where a digest of the archive guards it.
   */
  readonly endMark?: "required" | "optional";
};

export function badTar(why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot read tar archive: ${why}`);
}
