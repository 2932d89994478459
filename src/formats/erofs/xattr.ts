import { type ByteString, compareBytes, displayText, toBytes } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { XATTR_ENTRY_SIZE } from "./layout.ts";
import type { XattrPair } from "./overlay.ts";
import { xxh32 } from "./xxh32.ts";

/** Prefixes that an entry's index stands for, in the order they are tried; index 5 (lustre.) is never written. */
const PREFIXES = [
  ["user.", 1],
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["trusted.", 4],
  ["security.", 6],
] as const;

const PREFIX_OF_INDEX: ReadonlyMap<number, string> = new Map([
  [0, ""],
  ...PREFIXES.map(([prefix, index]) => [index, prefix] as const),
  [5, "lustre."],
]);

/** Seed of Linux's EROFS_XATTR_FILTER_SEED; the index is added. */
const FILTER_SEED = 0x25bbe08f;
const MAX_NAME = 255;
/** More shared ones on one inode are written inline. */
const MAX_SHARED = 128;
/** As libcomposefs: half of what EROFS can hold for an inode, header and entry heads included. */
const MAX_BYTES = 32767;
const HEADER_BYTES = 12;

export function xattrPrefix(index: number): string | undefined {
  return PREFIX_OF_INDEX.get(index);
}

type XattrName = {
  readonly name: ByteString;
  readonly index: number;
  readonly suffix: ByteString;
  readonly filterBit: number;
  readonly byValue: Map<ByteString, Xattr>;
};

/** One (name, value) pair of the image, however many inodes have it. */
export type Xattr = {
  readonly name: XattrName;
  readonly value: ByteString;
  /** On disk, with padding. */
  readonly size: number;
  uses: number;
  /** From the start of the shared area; only if there is more than one use. */
  sharedOffset: number;
};

/** @throws AtomfsError "bad-data" for xattrs (as the image's owner gave them) that cannot be stored */
export function checkXattrs(xattrs: ReadonlyMap<ByteString, ByteString>): void {
  let bytes = HEADER_BYTES;
  for (const [name, value] of xattrs) {
    if (name === "" || name.length > MAX_NAME || name.includes("\0")) {
      throw new AtomfsError("bad-data", `Cannot store xattr name "${displayText(name).slice(0, 300)}"`);
    }
    bytes += XATTR_ENTRY_SIZE + name.length + value.length;
  }
  if (bytes > MAX_BYTES)
    throw new AtomfsError("bad-data", `Cannot store ${bytes} bytes of xattrs: limit ${MAX_BYTES}`);
}

/** Collects the xattrs of all inodes and finds those that are shared. */
export class XattrTable {
  readonly #names = new Map<ByteString, XattrName>();

  /** In the order in which an inode holds them. Counts a use of each. */
  use(pairs: XattrPair[]): Xattr[] {
    if (pairs.length > 1) pairs.sort((a, b) => compareBytes(a[0], b[0]));
    return pairs.map(([name, value]) => {
      const xattr = this.#intern(name, value);
      xattr.uses++;
      return xattr;
    });
  }

  /** Those used more than once, in the order of the shared area; gives each its offset. */
  placeShared(): { readonly shared: readonly Xattr[]; readonly size: number } {
    const shared: Xattr[] = [];
    for (const name of this.#names.values()) {
      for (const xattr of name.byValue.values()) if (xattr.uses > 1) shared.push(xattr);
    }
    shared.sort(
      (a, b) =>
        compareBytes(b.name.name, a.name.name) ||
        b.value.length - a.value.length ||
        compareBytes(b.value, a.value),
    );
    let size = 0;
    for (const xattr of shared) {
      xattr.sharedOffset = size;
      size += xattr.size;
    }
    return { shared, size };
  }

  #intern(name: ByteString, value: ByteString): Xattr {
    let known = this.#names.get(name);
    if (known === undefined) {
      const [prefix, index] = PREFIXES.find(([start]) => name.startsWith(start)) ?? ["", 0];
      const suffix = name.slice(prefix.length) as ByteString;
      if (suffix.length > MAX_NAME) {
        throw new AtomfsError("bad-data", `Cannot store xattr name "${displayText(name)}": too long`);
      }
      const filterBit = xxh32(toBytes(suffix), FILTER_SEED + index) & 31;
      known = { name, index, suffix, filterBit, byValue: new Map() };
      this.#names.set(name, known);
    }
    let xattr = known.byValue.get(value);
    if (xattr === undefined) {
      const size = (XATTR_ENTRY_SIZE + known.suffix.length + value.length + 3) & ~3;
      xattr = { name: known, value, size, uses: 0, sharedOffset: -1 };
      known.byValue.set(value, xattr);
    }
    return xattr;
  }
}

/** Splits an inode's xattrs (once all uses are counted) in what is only referred to and what is written inline. */
export function splitShared(xattrs: readonly Xattr[]): {
  readonly shared: readonly Xattr[];
  readonly inline: readonly Xattr[];
} {
  const shared: Xattr[] = [];
  const inline: Xattr[] = [];
  for (const xattr of xattrs) {
    if (xattr.uses > 1 && shared.length < MAX_SHARED) shared.push(xattr);
    else inline.push(xattr);
  }
  return { shared, inline };
}

/** A clear bit says that a name which hashes to it may be there; a set bit that it is surely absent. */
export function nameFilter(xattrs: readonly Xattr[]): number {
  let present = 0;
  for (const xattr of xattrs) present |= 1 << xattr.name.filterBit;
  return ~present >>> 0;
}
