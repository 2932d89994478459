import type { ByteString } from "../../core/bytestring.ts";
import { DT_FLAGS, DT_FLAGS_1, DT_VERSYM, readDynamic } from "./dynamic.ts";
import { type ElfImage, openElf, PT_GNU_STACK, PT_INTERP, stringAt } from "./image.ts";
import { isaLevelNeeded } from "./property.ts";
import { type CopyRelocation, type ElfDefinition, type ElfReference, readSymbols } from "./symbols.ts";
import { readVersions } from "./versions.ts";

/**
 * What a dynamic linker and ldconfig ask of a program or shared library. Plain JSON (strings are latin1 bytes, ""
 * where there is none), so that it can be kept by the digest of the file. Raise ELF_INFO_VERSION when its meaning changes.
 */
export type ElfInfo = {
  /** e_machine: 62 is x86-64. */
  readonly machine: number;
  readonly class: 32 | 64;
  readonly littleEndian: boolean;
  /** e_flags: holds the float ABI on ARM, RISC-V, MIPS and PowerPC. */
  readonly flags: number;
  readonly type: "exec" | "dyn";
  /** False for a static program: nothing below but `interpreter` is set then. */
  readonly dynamic: boolean;
  readonly interpreter: ByteString;
  readonly soname: ByteString;
  readonly needed: readonly ByteString[];
  readonly rpath: readonly ByteString[];
  readonly runpath: readonly ByteString[];
  /** DF_STATIC_TLS: cannot always be loaded after the program has started. */
  readonly staticTls: boolean;
  /** DF_1_NODEFLIB: neither ld.so.cache nor the default directories are searched for it. */
  readonly noDefaultLibraries: boolean;
  readonly executableStack: boolean;
  /** Highest bit of GNU_PROPERTY_X86_ISA_1_NEEDED, as ldconfig records it for glibc-hwcaps; 0 if absent. */
  readonly isaLevel: number;
  /** True if symbols have versions at all (DT_VERSYM); a reference of any version binds to a file without. */
  readonly versioned: boolean;
  readonly defines: readonly ElfDefinition[];
  readonly requires: readonly ElfReference[];
  readonly copies: readonly CopyRelocation[];
  readonly definedVersions: readonly ByteString[];
  readonly neededVersions: readonly (readonly [file: ByteString, version: ByteString])[];
};

export const ELF_INFO_VERSION = 1;

const ET_EXEC = 2;
const ET_DYN = 3;
const DF_STATIC_TLS = 0x10;
const DF_1_NODEFLIB = 0x800;
const PF_X = 1;
const PATH_MAX = 4096;

/**
 * Reads a program or shared library of any class and byte order, from its program headers only.
 * @returns undefined if the bytes are no ELF file, or neither ET_EXEC nor ET_DYN
 * @throws AtomfsError "bad-data" if a table is not inside the file, does not end or contradicts another
 */
export function readElf(bytes: Uint8Array): ElfInfo | undefined {
  const image = openElf(bytes);
  if (image === undefined || (image.type !== ET_EXEC && image.type !== ET_DYN)) return undefined;
  const interpreter = readInterpreter(image);
  const stack = image.segments.find((segment) => segment.type === PT_GNU_STACK);
  const dynamic = readDynamic(image);
  const header = {
    machine: image.machine,
    class: image.is64 ? 64 : 32,
    littleEndian: image.littleEndian,
    flags: image.flags,
    type: image.type === ET_EXEC ? "exec" : "dyn",
    dynamic: dynamic !== undefined,
    interpreter,
    executableStack: stack !== undefined && (stack.flags & PF_X) !== 0,
    isaLevel: isaLevelNeeded(image),
  } as const;
  if (dynamic === undefined) {
    return {
      ...header,
      soname: "" as ByteString,
      needed: [],
      rpath: [],
      runpath: [],
      staticTls: false,
      noDefaultLibraries: false,
      versioned: false,
      defines: [],
      requires: [],
      copies: [],
      definedVersions: [],
      neededVersions: [],
    };
  }
  const versions = readVersions(image, dynamic);
  const symbols = readSymbols(image, dynamic, versions, interpreter !== "");
  return {
    ...header,
    soname: dynamic.soname,
    needed: dynamic.needed,
    rpath: dynamic.rpath,
    runpath: dynamic.runpath,
    staticTls: ((dynamic.values.get(DT_FLAGS) ?? 0) & DF_STATIC_TLS) !== 0,
    noDefaultLibraries: ((dynamic.values.get(DT_FLAGS_1) ?? 0) & DF_1_NODEFLIB) !== 0,
    versioned: dynamic.values.has(DT_VERSYM),
    ...symbols,
    definedVersions: versions.defined,
    neededVersions: versions.needed,
  };
}

function readInterpreter(image: ElfImage): ByteString {
  const segment = image.segments.find((s) => s.type === PT_INTERP);
  if (segment === undefined || segment.fileSize === 0) return "" as ByteString;
  return stringAt(image, segment.offset, segment.offset + segment.fileSize, PATH_MAX);
}
