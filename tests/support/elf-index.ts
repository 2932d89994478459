import { AtomfsError } from "../../src/core/errors.ts";
import { type FileContent, type ReadObject, readContent } from "../../src/core/tree.ts";
import { type ElfInfo, readElf } from "../../src/formats/elf/elf.ts";

/** Reads each ELF file once, as the store's index does; malformed ones count as none. */
export function elfIndex(readObject: ReadObject): (content: FileContent) => ElfInfo | undefined {
  const known = new Map<string, ElfInfo | undefined>();
  return (content) => {
    const key = content.kind === "object" ? content.digest : content.bytes;
    if (known.has(key)) return known.get(key);
    let info: ElfInfo | undefined;
    try {
      info = readElf(readContent(content, readObject));
    } catch (error) {
      if (!(error instanceof AtomfsError)) throw error;
    }
    known.set(key, info);
    return info;
  };
}
