import { type ByteString, fromBytes } from "../../core/bytestring.ts";
import { BLOCK, badTar } from "./member.ts";
import { parseNumber } from "./number.ts";

/** Offsets and lengths of the fields that all formats share, then those of ustar (POSIX.1-2017 pax, "ustar"). */
export const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
} as const;

type Field = keyof typeof FIELDS;

/** One header block, before extensions are applied. */
export type RawHeader = {
  readonly name: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  /** The type flag as a character: "0" to "7", "x", "L"... */
  readonly flag: string;
  readonly linkName: ByteString;
  readonly major: number;
  readonly minor: number;
};

export function isZeroBlock(block: Uint8Array): boolean {
  if (block[0] !== 0) return false;
  for (let i = 1; i < BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

/** @throws AtomfsError "bad-data" if the checksum or a number is wrong */
export function parseHeader(block: Uint8Array): RawHeader {
  verifyChecksum(block);
  const magic = textAt(block, 257, 8, false);
  const isUstar = magic.startsWith("ustar\0");
  const isGnu = magic === "ustar  \0";
  const flag = String.fromCharCode(block[156] ?? 0);
  const isDevice = flag === "3" || flag === "4";
  let name = text(block, "name");
  if (isUstar) {
    // Schily's star has times where ustar's prefix ends, and says so with "tar\0" at the end of the block.
    const isStar = textAt(block, 508, 4, false) === "tar\0";
    const prefix = textAt(block, FIELDS.prefix[0], isStar ? 131 : FIELDS.prefix[1]);
    if (prefix !== "") name = `${prefix}/${name}` as ByteString;
  }
  const hasDevices = isDevice && (isUstar || isGnu);
  return {
    name,
    mode: number(block, "mode"),
    uid: number(block, "uid"),
    gid: number(block, "gid"),
    size: number(block, "size"),
    mtime: number(block, "mtime"),
    flag,
    linkName: text(block, "linkName"),
    major: hasDevices ? number(block, "major") : 0,
    minor: hasDevices ? number(block, "minor") : 0,
  };
}

/** The sum of the header's bytes with the checksum field as spaces. */
export function checksum(block: Uint8Array): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) sum += block[i] ?? 0;
  for (let i = 148; i < 156; i++) sum -= block[i] ?? 0;
  return sum;
}

function verifyChecksum(block: Uint8Array): void {
  const want = number(block, "checksum");
  const unsigned = checksum(block);
  if (want === unsigned) return;
  // Old writers summed their bytes as signed char.
  let highBytes = 0;
  for (let i = 0; i < BLOCK; i++) if ((i < 148 || i >= 156) && (block[i] ?? 0) >= 0x80) highBytes++;
  if (want !== unsigned - 256 * highBytes) throw badTar("a header's checksum is wrong");
}

function number(block: Uint8Array, field: Field): number {
  const [offset, length] = FIELDS[field];
  return parseNumber(block, offset, length, field);
}

function text(block: Uint8Array, field: Field): ByteString {
  const [offset, length] = FIELDS[field];
  return textAt(block, offset, length);
}

function textAt(block: Uint8Array, offset: number, length: number, toNul = true): ByteString {
  const bytes = block.subarray(offset, offset + length);
  const end = toNul ? bytes.indexOf(0) : -1;
  return fromBytes(end < 0 ? bytes : bytes.subarray(0, end));
}
