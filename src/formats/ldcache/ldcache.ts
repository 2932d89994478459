import { type ByteString, compareBytes, fromBytes, toBytes } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { compareLibraryNames } from "./compare.ts";
import { layOutStrings } from "./strings.ts";

/** One line of `ldconfig -p`. */
export type LdCacheEntry = {
  readonly soname: ByteString;
  readonly path: ByteString;
  /** Kind of library: 0x303 x86-64 with libc6, 0xa03 AArch64; 1 ELF, 3 needs libc6 (glibc's sysdeps/generic/ldconfig.h). */
  readonly flags: number;
  /** Bits of the old hardware subdirectories (`haswell`, `tls`); 0 for nearly all. Not together with `hwcaps`. */
  readonly legacyHwcap: bigint;
  /** Of a library in `glibc-hwcaps/NAME`: NAME and the ISA level that the library needs (0 to 1023). */
  readonly hwcaps: { readonly name: ByteString; readonly isaLevel: number } | undefined;
};

export type LdCache = {
  readonly entries: readonly LdCacheEntry[];
  /** Who wrote it, as "ldconfig (Debian GLIBC 2.36-9) stable release version 2.36"; "" if it doesn't say. */
  readonly generator: ByteString;
  readonly littleEndian: boolean;
};

const MAGIC = "glibc-ld.so.cache1.1";
const OLD_MAGIC = "ld.so-1.7.0";
const HEADER = 48;
const ENTRY = 24;
const OLD_HEADER = 16;
const OLD_ENTRY = 12;
const ENDIAN_LITTLE = 2;
const ENDIAN_BIG = 3;
const EXTENSION_MAGIC = 0xeaa42174;
const EXTENSION_HEADER = 8;
const SECTION = 16;
const TAG_GENERATOR = 0;
const TAG_HWCAPS = 1;
const HWCAP_EXTENSION = 1n << 62n;
const ISA_LEVEL_MASK = 0x3ffn;
const MAX_STRING = 8192;
/** Entries may share one long string, so the sum is bounded too. */
const MAX_TEXT_BYTES = 1 << 26;

function bitCount(value: bigint): number {
  let count = 0;
  for (let rest = value; rest !== 0n; rest &= rest - 1n) count++;
  return count;
}

/** The order of the entries in the file (glibc, elf/cache.c): names descending, then the best choice first. */
function compareEntries(a: LdCacheEntry, b: LdCacheEntry): number {
  const names = compareLibraryNames(b.soname, a.soname);
  if (names !== 0) return names;
  if (a.flags !== b.flags) return b.flags - a.flags;
  if (a.hwcaps !== undefined || b.hwcaps !== undefined) {
    if (b.hwcaps === undefined) return -1;
    if (a.hwcaps === undefined) return 1;
    return compareBytes(a.hwcaps.name, b.hwcaps.name);
  }
  const bits = bitCount(b.legacyHwcap) - bitCount(a.legacyHwcap);
  if (bits !== 0) return bits;
  return a.legacyHwcap === b.legacyHwcap ? 0 : b.legacyHwcap > a.legacyHwcap ? 1 : -1;
}

/**
 * Writes ld.so.cache byte for byte as glibc's ldconfig 2.33 and later does ("new" format only). Entries that compare
 * equal keep the order they are given in. @param unusedStrings are put into the string table though nothing refers to
 * them: ldconfig does so with the names of empty `glibc-hwcaps` subdirectories
 */
export function encodeLdCache(cache: LdCache, unusedStrings: Iterable<ByteString> = []): Uint8Array {
  const little = cache.littleEndian;
  const entries = [...cache.entries].sort(compareEntries);
  const names = new Set<ByteString>();
  const texts = new Set<ByteString>(unusedStrings);
  for (const entry of entries) {
    texts.add(entry.soname).add(entry.path);
    if (entry.hwcaps !== undefined) names.add(entry.hwcaps.name);
  }
  const hwcapsNames = [...names].sort(compareBytes);
  for (const name of hwcapsNames) texts.add(name);
  const strings = layOutStrings(texts);
  const stringsAt = HEADER + entries.length * ENTRY;
  const offsetOf = (text: ByteString): number => stringsAt + (strings.offsets.get(text) ?? 0);

  const extensionAt = Math.ceil((stringsAt + strings.bytes.length) / 4) * 4;
  const sections = hwcapsNames.length > 0 ? 2 : 1;
  const hwcapsAt = extensionAt + EXTENSION_HEADER + sections * SECTION;
  const generatorAt = hwcapsAt + hwcapsNames.length * 4;
  const bytes = Buffer.alloc(generatorAt + cache.generator.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const put = (at: number, value: number): void => view.setUint32(at, value, little);

  bytes.write(MAGIC, 0, "latin1");
  put(20, entries.length);
  put(24, strings.bytes.length);
  bytes[28] = little ? ENDIAN_LITTLE : ENDIAN_BIG;
  put(32, extensionAt);
  entries.forEach((entry, i) => {
    const at = HEADER + i * ENTRY;
    put(at, entry.flags);
    put(at + 4, offsetOf(entry.soname));
    put(at + 8, offsetOf(entry.path));
    const { hwcaps } = entry;
    const hwcap =
      hwcaps === undefined
        ? entry.legacyHwcap
        : HWCAP_EXTENSION | (BigInt(hwcaps.isaLevel) << 32n) | BigInt(hwcapsNames.indexOf(hwcaps.name));
    view.setBigUint64(at + 16, hwcap, little);
  });
  bytes.set(strings.bytes, stringsAt);
  put(extensionAt, EXTENSION_MAGIC);
  put(extensionAt + 4, sections);
  const putSection = (index: number, ...fields: readonly number[]): void =>
    fields.forEach((field, i) => {
      put(extensionAt + EXTENSION_HEADER + index * SECTION + i * 4, field);
    });
  putSection(0, TAG_GENERATOR, 0, generatorAt, cache.generator.length);
  if (sections === 2) putSection(1, TAG_HWCAPS, 0, hwcapsAt, hwcapsNames.length * 4);
  hwcapsNames.forEach((name, i) => {
    put(hwcapsAt + i * 4, offsetOf(name));
  });
  bytes.set(toBytes(cache.generator), generatorAt);
  return bytes;
}

function bad(what: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot read ld.so.cache: ${what}`);
}

/**
 * Reads the "new" format, alone or behind an old table (glibc before 2.32 writes both).
 * @throws AtomfsError "bad-data"
 */
export function decodeLdCache(file: Uint8Array): LdCache {
  const bytes = file.subarray(newFormatOffset(file));
  if (bytes.length < HEADER || fromBytes(bytes.subarray(0, MAGIC.length)) !== MAGIC)
    throw bad("no known magic");
  const order = (bytes[28] ?? 0) & 3;
  if (order === 1) throw bad("it is marked invalid");
  const little = order !== ENDIAN_BIG;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const get = (at: number): number => view.getUint32(at, little);
  const count = get(20);
  const stringsAt = HEADER + count * ENTRY;
  const stringsEnd = stringsAt + get(24);
  if (stringsEnd > bytes.length) throw bad("entries and strings are longer than the file");
  let textBytes = 0;
  const text = (offset: number): ByteString => {
    const limit = Math.min(stringsEnd, offset + MAX_STRING);
    const end = offset < stringsAt ? -1 : bytes.indexOf(0, offset);
    if (end < 0 || end >= limit) throw bad(`string at ${offset} is not in the string table`);
    textBytes += end - offset;
    if (textBytes > MAX_TEXT_BYTES) throw bad("its strings are too long together");
    return fromBytes(bytes.subarray(offset, end));
  };
  const { generator, hwcapsNames } = decodeExtensions(file, little, text, order === 0 ? 0 : get(32));
  const entries: LdCacheEntry[] = [];
  for (let at = HEADER; at < stringsAt; at += ENTRY) {
    const hwcap = view.getBigUint64(at + 16, little);
    const extended = (hwcap >> 32n) - ((hwcap >> 32n) & ISA_LEVEL_MASK) === HWCAP_EXTENSION >> 32n;
    const name = extended ? hwcapsNames[Number(hwcap & 0xffffffffn)] : undefined;
    if (extended && name === undefined) throw bad("an entry names a hwcaps directory that is not listed");
    entries.push({
      soname: text(get(at + 4)),
      path: text(get(at + 8)),
      flags: view.getInt32(at, little),
      legacyHwcap: extended ? 0n : hwcap,
      hwcaps: name === undefined ? undefined : { name, isaLevel: Number((hwcap >> 32n) & ISA_LEVEL_MASK) },
    });
  }
  return { entries, generator, littleEndian: little };
}

function newFormatOffset(file: Uint8Array): number {
  if (file.length < OLD_HEADER || fromBytes(file.subarray(0, OLD_MAGIC.length)) !== OLD_MAGIC) return 0;
  const count = new DataView(file.buffer, file.byteOffset, file.byteLength).getUint32(12, true);
  return Math.min(file.length, Math.ceil((OLD_HEADER + count * OLD_ENTRY) / 8) * 8);
}

function decodeExtensions(
  file: Uint8Array,
  little: boolean,
  text: (offset: number) => ByteString,
  at: number,
): { generator: ByteString; hwcapsNames: ByteString[] } {
  let generator = "" as ByteString;
  const hwcapsNames: ByteString[] = [];
  if (at === 0) return { generator, hwcapsNames };
  // Offsets of extensions count from the start of the file, also where an old table comes first.
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const get = (offset: number): number => view.getUint32(offset, little);
  const inside = (offset: number, length: number): void => {
    if (offset + length > file.length) throw bad("its extensions are not inside the file");
  };
  inside(at, EXTENSION_HEADER);
  if (at % 4 !== 0 || get(at) !== EXTENSION_MAGIC) throw bad("its extensions have another magic");
  const count = get(at + 4);
  inside(at + EXTENSION_HEADER, count * SECTION);
  for (let i = 0; i < Math.min(count, 16); i++) {
    const section = at + EXTENSION_HEADER + i * SECTION;
    const [tag, offset, size] = [get(section), get(section + 8), get(section + 12)];
    inside(offset, size);
    if (tag === TAG_GENERATOR) generator = fromBytes(file.subarray(offset, offset + size));
    if (tag === TAG_HWCAPS && hwcapsNames.length === 0) {
      if (size > 4096) throw bad(`${size / 4} hwcaps directories`);
      for (let name = 0; name + 4 <= size; name += 4) hwcapsNames.push(text(get(offset + name)));
    }
  }
  return { generator, hwcapsNames };
}
