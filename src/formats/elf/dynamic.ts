import type { ByteString } from "../../core/bytestring.ts";
import { badElf, checkRange, type ElfImage, fileOffset, PT_DYNAMIC, stringAt, word } from "./image.ts";

const DT_NEEDED = 1;
export const DT_PLTRELSZ = 2;
export const DT_HASH = 4;
const DT_STRTAB = 5;
export const DT_SYMTAB = 6;
export const DT_RELA = 7;
export const DT_RELASZ = 8;
const DT_STRSZ = 10;
export const DT_SONAME = 14;
const DT_RPATH = 15;
export const DT_REL = 17;
export const DT_RELSZ = 18;
export const DT_PLTREL = 20;
export const DT_JMPREL = 23;
const DT_RUNPATH = 29;
export const DT_FLAGS = 30;
export const DT_GNU_HASH = 0x6ffffef5;
export const DT_VERSYM = 0x6ffffff0;
export const DT_RELACOUNT = 0x6ffffff9;
export const DT_RELCOUNT = 0x6ffffffa;
export const DT_FLAGS_1 = 0x6ffffffb;
export const DT_VERDEF = 0x6ffffffc;
export const DT_VERNEED = 0x6ffffffe;

/** More entries than any linker writes; keeps a hostile table from costing anything. */
const MAX_ENTRIES = 4096;
/** For file names and search paths. */
const MAX_TEXT = 4096;

/** The dynamic section: single-valued tags, and the strings of those that may repeat. */
export type Dynamic = {
  readonly values: ReadonlyMap<number, number>;
  readonly needed: readonly ByteString[];
  readonly soname: ByteString;
  readonly rpath: readonly ByteString[];
  readonly runpath: readonly ByteString[];
  /** File offsets of the string table. */
  readonly strings: { readonly start: number; readonly end: number };
};

/** @returns undefined if the file has no dynamic section (a static program) */
export function readDynamic(image: ElfImage): Dynamic | undefined {
  const segment = image.segments.find((s) => s.type === PT_DYNAMIC && s.fileSize > 0);
  if (segment === undefined) return undefined;
  checkRange(image, segment.offset, segment.fileSize, "dynamic section");
  const entry = image.is64 ? 16 : 8;
  const count = Math.floor(segment.fileSize / entry);
  if (count > MAX_ENTRIES) throw badElf(`dynamic section of ${count} entries`);
  const values = new Map<number, number>();
  const neededOffsets: number[] = [];
  for (let i = 0; i < count; i++) {
    const at = segment.offset + i * entry;
    const tag = word(image, at);
    if (tag === 0) break;
    const value = word(image, at + entry / 2);
    if (tag === DT_NEEDED) neededOffsets.push(value);
    else values.set(tag, value);
  }
  const stringsAt = values.get(DT_STRTAB);
  if (stringsAt === undefined) return undefined;
  const size = values.get(DT_STRSZ) ?? 0;
  const start = fileOffset(image, stringsAt, size, "string table");
  const strings = { start, end: start + size };
  const text = (offset: number | undefined): ByteString =>
    offset === undefined ? ("" as ByteString) : stringAt(image, start + offset, strings.end, MAX_TEXT);
  const searchPath = (offset: number | undefined): ByteString[] =>
    text(offset)
      .split(":")
      .filter((directory) => directory !== "") as ByteString[];
  return {
    values,
    needed: neededOffsets.map((offset) => text(offset)),
    soname: text(values.get(DT_SONAME)),
    rpath: searchPath(values.get(DT_RPATH)),
    runpath: searchPath(values.get(DT_RUNPATH)),
    strings,
  };
}
