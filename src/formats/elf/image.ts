import { type ByteString, fromBytes } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";

/** One program header, the fields that a reader without a memory image needs. */
type Segment = {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly align: number;
};

/** An ELF file opened for reading: header fields, program headers, and checked reads at file offsets. */
export type ElfImage = {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly littleEndian: boolean;
  readonly is64: boolean;
  readonly type: number;
  readonly machine: number;
  readonly flags: number;
  readonly segments: readonly Segment[];
};

export const PT_LOAD = 1;
export const PT_DYNAMIC = 2;
export const PT_INTERP = 3;
export const PT_GNU_STACK = 0x6474e551;
export const PT_GNU_PROPERTY = 0x6474e553;

/** Programs have about ten segments. Each address is looked for in all of them, so their number is bounded. */
const MAX_SEGMENTS = 512;

export function badElf(what: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot read ELF file: ${what}`);
}

/** True if a file with these first bytes (4 are enough) is an ELF file. */
export function isElf(firstBytes: Uint8Array): boolean {
  return firstBytes[0] === 0x7f && firstBytes[1] === 0x45 && firstBytes[2] === 0x4c && firstBytes[3] === 0x46;
}

/** Refuses a range that is not inside the file. All reads of this folder are preceded by it. */
export function checkRange(image: ElfImage, offset: number, length: number, what: string): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= image.bytes.length)) {
    throw badElf(`${what} (${length} bytes at ${offset}) is not inside its ${image.bytes.length} bytes`);
  }
}

export function u16(image: ElfImage, offset: number): number {
  return image.view.getUint16(offset, image.littleEndian);
}

export function u32(image: ElfImage, offset: number): number {
  return image.view.getUint32(offset, image.littleEndian);
}

/** 64 bits as a number: exact below 2^53; above that only good for the range check that refuses it. */
export function u64(image: ElfImage, offset: number): number {
  const first = u32(image, offset);
  const second = u32(image, offset + 4);
  return image.littleEndian ? second * 2 ** 32 + first : first * 2 ** 32 + second;
}

/** An address-sized word of the file's class. */
export function word(image: ElfImage, offset: number): number {
  return image.is64 ? u64(image, offset) : u32(image, offset);
}

/** The bytes up to the next NUL, which must come before `end` and after at most `maxLength` bytes. */
export function stringAt(image: ElfImage, offset: number, end: number, maxLength: number): ByteString {
  const limit = Math.min(end, image.bytes.length, offset + maxLength + 1);
  if (!(offset >= 0 && offset < limit)) throw badElf(`string at ${offset} is outside its table`);
  const nul = image.bytes.indexOf(0, offset);
  if (nul < 0 || nul >= limit) throw badElf(`string at ${offset} does not end`);
  return fromBytes(image.bytes.subarray(offset, nul));
}

/** File offset of a memory address, by the PT_LOAD segments; the `length` bytes from there are in the file. */
export function fileOffset(image: ElfImage, address: number, length: number, what: string): number {
  for (const segment of image.segments) {
    if (segment.type !== PT_LOAD) continue;
    const into = address - segment.address;
    if (into < 0 || into >= segment.fileSize) continue;
    const offset = segment.offset + into;
    if (into + length > segment.fileSize) break;
    checkRange(image, offset, length, what);
    return offset;
  }
  throw badElf(`${what} (${length} bytes at address 0x${address.toString(16)}) is in no loaded segment`);
}

/** File offset where the loaded segment that holds `address` ends. */
export function loadedEnd(image: ElfImage, address: number): number {
  for (const segment of image.segments) {
    const into = address - segment.address;
    if (segment.type === PT_LOAD && into >= 0 && into < segment.fileSize) {
      return Math.min(segment.offset + segment.fileSize, image.bytes.length);
    }
  }
  return 0;
}

/**
 * Opens the header and program headers (System V ABI, chapters 4 and 5). Section headers are never looked at:
 * they may be stripped or lie.
 * @returns undefined if the bytes are not ELF or of an unknown class or byte order
 */
export function openElf(bytes: Uint8Array): ElfImage | undefined {
  if (!isElf(bytes)) return undefined;
  const elfClass = bytes[4];
  const order = bytes[5];
  if ((elfClass !== 1 && elfClass !== 2) || (order !== 1 && order !== 2)) return undefined;
  const is64 = elfClass === 2;
  const header: ElfImage = {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    littleEndian: order === 1,
    is64,
    type: 0,
    machine: 0,
    flags: 0,
    segments: [],
  };
  checkRange(header, 0, is64 ? 64 : 52, "ELF header");
  const at = word(header, is64 ? 32 : 28);
  const size = u16(header, is64 ? 54 : 42);
  const count = u16(header, is64 ? 56 : 44);
  const segments: Segment[] = [];
  if (count > 0) {
    if (size < (is64 ? 56 : 32)) throw badElf(`program headers of ${size} bytes`);
    if (count > MAX_SEGMENTS) throw badElf(`${count} program headers`);
    checkRange(header, at, size * count, "program header table");
    for (let i = 0; i < count; i++) segments.push(readSegment(header, at + i * size));
  }
  return {
    ...header,
    type: u16(header, 16),
    machine: u16(header, 18),
    flags: u32(header, is64 ? 48 : 36),
    segments,
  };
}

function readSegment(image: ElfImage, at: number): Segment {
  if (image.is64) {
    return {
      type: u32(image, at),
      flags: u32(image, at + 4),
      offset: u64(image, at + 8),
      address: u64(image, at + 16),
      fileSize: u64(image, at + 32),
      align: u64(image, at + 48),
    };
  }
  return {
    type: u32(image, at),
    offset: u32(image, at + 4),
    address: u32(image, at + 8),
    fileSize: u32(image, at + 16),
    flags: u32(image, at + 24),
    align: u32(image, at + 28),
  };
}
