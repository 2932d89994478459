import type { ByteString } from "../core/bytestring.ts";
import type { ElfInfo } from "../formats/elf/elf.ts";

const EM_386 = 3;
const EM_ARM = 40;
const EM_X86_64 = 62;
const EM_AARCH64 = 183;
const EM_PPC64 = 21;
const EM_S390 = 22;
const EM_RISCV = 243;

const FLAG_ELF = 1;
const FLAG_LIBC6 = 3;

const LIBC6_INTERPRETERS: ReadonlySet<string> = new Set([
  "/lib/ld-linux.so.2",
  "/lib/ld-linux-x86-64.so.2",
  "/lib64/ld-linux-x86-64.so.2",
  "/libx32/ld-linux-x32.so.2",
]);
const LIBC6_LIBRARIES: ReadonlySet<string> = new Set(["libc.so.6", "libm.so.6"]);

/** The old hardware subdirectories of x86 (glibc before 2.37) and their bits in an entry's hwcap. */
const OLD_HWCAPS: ReadonlyMap<string, bigint> = new Map([
  ["sse2", 0n],
  ["x86_64", 1n],
  ["avx512_1", 2n],
  ["i586", 48n],
  ["i686", 49n],
  ["haswell", 50n],
  ["xeon_phi", 51n],
  ["tls", 63n],
]);

/** The names that ldconfig opens: lib*.so*, ld-*.so*, ld.so.*, ld64.so.*. */
export function looksLikeLibrary(name: ByteString): boolean {
  return (
    ((name.startsWith("lib") || name.startsWith("ld-")) && name.includes(".so")) ||
    name.startsWith("ld.so.") ||
    name.startsWith("ld64.so.")
  );
}

/** By the generator text of ldconfig, which ends in its version; unknown counts as new. */
export function hasOldHwcaps(abi: { readonly machine: number }, generator: ByteString): boolean {
  const version = /version (\d+)\.(\d+)$/.exec(generator);
  if (version === null || (abi.machine !== EM_X86_64 && abi.machine !== EM_386)) return false;
  return Number(version[1]) === 2 && Number(version[2]) < 37;
}

export function oldHwcapSubdirectory(name: ByteString): boolean {
  return OLD_HWCAPS.has(name);
}

/** Sum of the bits of the directory's last names, as far as they are hardware names. */
export function oldHwcapOfPath(path: ByteString): bigint {
  let bits = 0n;
  for (const name of path.split("/").reverse()) {
    const bit = OLD_HWCAPS.get(name);
    if (bit === undefined) break;
    bits += 1n << bit;
  }
  return bits & 0xffffffffffffffffn;
}

/**
 * The kind of a library as ld.so.cache records it, by the rules of the glibc of its own architecture
 * (sysdeps/unix/sysv/linux/ARCH/readelflib.c).
 * @returns undefined if ldconfig leaves the file out
 */
export function libraryFlags(info: ElfInfo): number | undefined {
  if (info.type !== "dyn" || !info.dynamic) return undefined;
  switch (info.machine) {
    case EM_X86_64:
      return (info.class === 64 ? 0x300 : 0x800) | FLAG_LIBC6;
    case EM_386: {
      const libc6 =
        LIBC6_INTERPRETERS.has(info.interpreter) || info.needed.some((name) => LIBC6_LIBRARIES.has(name));
      return info.class === 64 ? undefined : libc6 ? FLAG_LIBC6 : FLAG_ELF;
    }
    case EM_AARCH64:
      return (info.class === 64 ? 0xa00 : 0) | FLAG_LIBC6;
    case EM_ARM:
      // EABI 5: hard float, soft float, or unmarked and good for both.
      return (info.flags & 0x400 ? 0x900 : info.flags & 0x200 ? 0xb00 : 0) | FLAG_LIBC6;
    case EM_PPC64:
      return 0x500 | FLAG_LIBC6;
    case EM_S390:
      return (info.class === 64 ? 0x400 : 0) | FLAG_LIBC6;
    case EM_RISCV:
      return ((info.flags & 6) === 4 ? 0x1000 : (info.flags & 6) === 0 ? 0xf00 : 0) | FLAG_LIBC6;
    default:
      return info.needed.some((name) => LIBC6_LIBRARIES.has(name)) ? FLAG_LIBC6 : FLAG_ELF;
  }
}
