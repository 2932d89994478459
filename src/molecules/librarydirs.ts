import type { ByteString } from "../core/bytestring.ts";
import { fromText } from "../core/bytestring.ts";

/** What tells one ABI's libraries from another's in the same tree. */
export type LibraryAbi = {
  readonly machine: number;
  readonly class: 32 | 64;
  readonly littleEndian: boolean;
};

const EM_386 = 3;
const EM_ARM = 40;
const EM_X86_64 = 62;

/** Debian's name of the architecture in library directories. */
export function multiarchName(abi: LibraryAbi): string | undefined {
  switch (abi.machine) {
    case EM_X86_64:
      return abi.class === 64 ? "x86_64-linux-gnu" : "x86_64-linux-gnux32";
    case EM_386:
      return "i386-linux-gnu";
    case EM_ARM:
      return "arm-linux-gnueabihf";
    case 183:
      return "aarch64-linux-gnu";
    case 21:
      return abi.littleEndian ? "powerpc64le-linux-gnu" : "powerpc64-linux-gnu";
    case 22:
      return "s390x-linux-gnu";
    case 243:
      return "riscv64-linux-gnu";
    case 258:
      return "loongarch64-linux-gnu";
    default:
      return undefined;
  }
}

/** True if a glibc that calls itself this ("ldconfig (Debian GLIBC 2.36-9) ...") has Debian's multiarch directories. */
export function isMultiarchGlibc(generator: ByteString): boolean {
  return /\((Debian|Ubuntu) /.test(generator);
}

/**
 * The directories that glibc searches after all that is configured, in order: with multiarch as Debian builds it, else
 * as glibc's own Makefiles do.
 */
export function defaultLibraryDirectories(abi: LibraryAbi, multiarch: boolean): ByteString[] {
  const name = multiarchName(abi);
  if (multiarch && name !== undefined) {
    return [`/lib/${name}`, `/usr/lib/${name}`, "/lib", "/usr/lib"].map(fromText);
  }
  const suffixes =
    abi.machine === EM_X86_64 || abi.machine === EM_386
      ? ["", "64", "x32"]
      : abi.machine === 183
        ? ["", "64", "ilp32"]
        : abi.class === 64
          ? ["", "64"]
          : [""];
  return ["/lib", "/usr/lib"].flatMap((directory) => suffixes.map((suffix) => fromText(directory + suffix)));
}
