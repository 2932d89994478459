import type { ByteString } from "../../core/bytestring.ts";
import {
  DT_GNU_HASH,
  DT_HASH,
  DT_JMPREL,
  DT_PLTREL,
  DT_PLTRELSZ,
  DT_REL,
  DT_RELA,
  DT_RELACOUNT,
  DT_RELASZ,
  DT_RELCOUNT,
  DT_RELSZ,
  DT_SYMTAB,
  DT_VERSYM,
  type Dynamic,
} from "./dynamic.ts";
import { badElf, type ElfImage, fileOffset, loadedEnd, stringAt, u16, u32, word } from "./image.ts";
import type { Versions } from "./versions.ts";

/** The definition is not the default of its name: only a reference that names its version finds it. */
export const DEFINES_HIDDEN = 1;
/** Also a reference without version finds it: it has no version or the file's oldest one. */
export const DEFINES_BASE = 2;
/** A thread-local variable. */
export const DEFINES_TLS = 4;

/** `size` is that of a data object in bytes; 0 for functions. */
export type ElfDefinition = readonly [name: ByteString, version: ByteString, flags: number, size: number];
/** `version` and `file` are "" where the reference has none. `weak`: 1 if it may stay unresolved. */
export type ElfReference = readonly [name: ByteString, version: ByteString, file: ByteString, weak: 0 | 1];
/** A data object that the program copies out of the library that defines it, with the size it has room for. */
export type CopyRelocation = readonly [name: ByteString, version: ByteString, size: number];

export type Symbols = {
  readonly defines: readonly ElfDefinition[];
  readonly requires: readonly ElfReference[];
  readonly copies: readonly CopyRelocation[];
};

/** The longest C++ names are some ten thousand bytes. */
const MAX_NAME = 1 << 16;
/** Bound for the sum of all names' lengths: table entries may share one long string. */
const MAX_NAME_BYTES = 1 << 27;

const STT_OBJECT = 1;
const STT_COMMON = 5;
const STT_TLS = 6;
/** NOTYPE, OBJECT, FUNC, COMMON, TLS, GNU_IFUNC: what a dynamic linker binds to. */
const BINDABLE_TYPES = new Set([0, STT_OBJECT, 2, STT_COMMON, STT_TLS, 10]);
const STB_GLOBAL = 1;
const STB_WEAK = 2;
const STB_GNU_UNIQUE = 10;
const SHN_ABS = 0xfff1;

/** R_*_COPY by e_machine: 386, x86-64, ARM, AArch64, PPC, PPC64, S390, RISC-V. */
const COPY_TYPES: ReadonlyMap<number, number> = new Map([
  [3, 5],
  [62, 5],
  [40, 20],
  [183, 1024],
  [20, 19],
  [21, 19],
  [22, 9],
  [243, 4],
]);

/**
 * Reads the dynamic symbols. @param isProgram only programs have copy relocations, so only theirs are looked for
 */
export function readSymbols(
  image: ElfImage,
  dynamic: Dynamic,
  versions: Versions,
  isProgram: boolean,
): Symbols {
  const defines: ElfDefinition[] = [];
  const requires: ElfReference[] = [];
  const copies: CopyRelocation[] = [];
  const address = dynamic.values.get(DT_SYMTAB);
  if (address === undefined) return { defines, requires, copies };
  const relocated = readRelocations(image, dynamic, isProgram);
  const count = symbolCount(image, dynamic, () => relocated().highest + 1);
  const entry = image.is64 ? 24 : 16;
  const table = fileOffset(image, address, count * entry, "symbol table");
  const versymAddress = dynamic.values.get(DT_VERSYM);
  const versym =
    versymAddress === undefined
      ? undefined
      : fileOffset(image, versymAddress, count * 2, "symbol version table");
  const copied = isProgram ? relocated().copied : undefined;
  let nameBytes = 0;
  for (let i = 1; i < count; i++) {
    const at = table + i * entry;
    const info = image.bytes[at + (image.is64 ? 4 : 12)] ?? 0;
    const binding = info >> 4;
    if (binding !== STB_GLOBAL && binding !== STB_WEAK && binding !== STB_GNU_UNIQUE) continue;
    const name = stringAt(image, dynamic.strings.start + u32(image, at), dynamic.strings.end, MAX_NAME);
    nameBytes += name.length;
    if (nameBytes > MAX_NAME_BYTES) throw badElf("its symbol names are too long");
    const section = u16(image, at + (image.is64 ? 6 : 14));
    const value = word(image, at + (image.is64 ? 8 : 4));
    const type = info & 15;
    const rawVersion = versym === undefined ? 1 : u16(image, versym + i * 2);
    const index = rawVersion & 0x7fff;
    const named = index > 1 ? versions.byIndex.get(index) : undefined;
    const version = named?.version ?? ("" as ByteString);
    if (section === 0) {
      requires.push([name, version, named?.file ?? ("" as ByteString), binding === STB_WEAK ? 1 : 0]);
      continue;
    }
    if (!BINDABLE_TYPES.has(type) || (value === 0 && section !== SHN_ABS && type !== STT_TLS)) continue;
    const hidden = (rawVersion & 0x8000) !== 0 ? DEFINES_HIDDEN : 0;
    // glibc gives a reference without version the indices 0 to 2 at once (dl-lookup.c, check_match).
    const base = index <= 2 ? DEFINES_BASE : 0;
    const size = type === STT_OBJECT || type === STT_COMMON ? word(image, at + (image.is64 ? 16 : 8)) : 0;
    defines.push([name, version, hidden | base | (type === STT_TLS ? DEFINES_TLS : 0), size]);
    if (copied?.has(i)) copies.push([name, version, size]);
  }
  return { defines, requires, copies };
}

/** Number of dynamic symbols, from a hash table: the format has no other place for it. */
function symbolCount(image: ElfImage, dynamic: Dynamic, fromRelocations: () => number): number {
  const hash = dynamic.values.get(DT_HASH);
  // Alpha and 64-bit S390 have a DT_HASH of 8-byte words; there as elsewhere linkers write DT_GNU_HASH too.
  const wideHash = image.machine === 0x9026 || (image.machine === 22 && image.is64);
  if (hash !== undefined && !wideHash) return u32(image, fileOffset(image, hash, 8, "hash table") + 4);
  const gnuHash = dynamic.values.get(DT_GNU_HASH);
  if (gnuHash === undefined) return fromRelocations();
  const header = fileOffset(image, gnuHash, 16, "GNU hash table");
  const bucketCount = u32(image, header);
  const firstHashed = u32(image, header + 4);
  const bloomBytes = u32(image, header + 8) * (image.is64 ? 8 : 4);
  const bucketsAddress = gnuHash + 16 + bloomBytes;
  const buckets = fileOffset(image, bucketsAddress, bucketCount * 4, "GNU hash table");
  let last = 0;
  for (let i = 0; i < bucketCount; i++) last = Math.max(last, u32(image, buckets + i * 4));
  // A file that exports nothing has one empty bucket, and its table says nothing of the undefined symbols.
  if (last === 0) return Math.max(firstHashed, fromRelocations());
  if (last < firstHashed) throw badElf("its GNU hash table contradicts itself");
  const chains = bucketsAddress + bucketCount * 4;
  const end = loadedEnd(image, chains);
  let link = fileOffset(image, chains + (last - firstHashed) * 4, 4, "GNU hash chain");
  for (; link + 4 <= end; link += 4, last++) if ((u32(image, link) & 1) === 1) return last + 1;
  throw badElf("a chain of its GNU hash table does not end");
}

type Relocations = { readonly highest: number; readonly copied: ReadonlySet<number> };

/** Symbol indices that relocations name; read at most once and only if asked for. */
function readRelocations(image: ElfImage, dynamic: Dynamic, isProgram: boolean): () => Relocations {
  let result: Relocations | undefined;
  return () => {
    if (result !== undefined) return result;
    const copyType = isProgram ? COPY_TYPES.get(image.machine) : undefined;
    const copied = new Set<number>();
    let highest = 0;
    const scan = (start: number | undefined, size: number, withAddend: boolean, skip: number): void => {
      if (start === undefined) return;
      const half = image.is64 ? 8 : 4;
      const entry = half * (withAddend ? 3 : 2);
      const count = Math.floor(size / entry);
      if (count <= skip) return;
      const table = fileOffset(image, start, count * entry, "relocation table");
      for (let i = skip; i < count; i++) {
        const at = table + i * entry + half;
        // r_info: 32 + 32 bits in class 64, 24 + 8 bits in class 32.
        const info = image.is64 ? 0 : u32(image, at);
        const symbol = image.is64 ? u32(image, at + (image.littleEndian ? 4 : 0)) : info >>> 8;
        const type = image.is64 ? u32(image, at + (image.littleEndian ? 0 : 4)) : info & 0xff;
        if (symbol > highest) highest = symbol;
        if (type === copyType) copied.add(symbol);
      }
    };
    const value = (tag: number): number => dynamic.values.get(tag) ?? 0;
    scan(dynamic.values.get(DT_RELA), value(DT_RELASZ), true, value(DT_RELACOUNT));
    scan(dynamic.values.get(DT_REL), value(DT_RELSZ), false, value(DT_RELCOUNT));
    scan(dynamic.values.get(DT_JMPREL), value(DT_PLTRELSZ), value(DT_PLTREL) === DT_RELA, 0);
    result = { highest, copied };
    return result;
  };
}
