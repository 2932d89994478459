import type { VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { FileContent, ReadObject, Tree } from "../core/tree.ts";
import { type ElfInfo, readElf } from "../formats/elf/elf.ts";
import type { Catalog } from "../store/catalog.ts";

/** What the ELF files of trees say, read once for each object and then kept in the catalog. */
export class ElfIndex {
  readonly #catalog: Catalog;
  readonly #readObject: ReadObject;
  readonly #known = new Map<VerityDigest, ElfInfo | null>();
  readonly #unsaved = new Map<VerityDigest, ElfInfo | null>();

  constructor(catalog: Catalog, readObject: ReadObject) {
    this.#catalog = catalog;
    this.#readObject = readObject;
  }

  /** undefined for what is no ELF file, or a malformed one that no loader would take. */
  readonly elfOf = (content: FileContent): ElfInfo | undefined => {
    if (content.kind === "inline") return undefined;
    const { digest } = content;
    const known = this.#known.get(digest) ?? this.#catalog.elf(digest);
    if (known !== undefined) {
      this.#known.set(digest, known);
      return known ?? undefined;
    }
    const info = this.#read(digest);
    this.#known.set(digest, info);
    this.#unsaved.set(digest, info);
    return info ?? undefined;
  };

  #read(digest: VerityDigest): ElfInfo | null {
    const bytes = this.#readObject(digest);
    try {
      return readElf(bytes) ?? null;
    } catch (error) {
      if (error instanceof AtomfsError && error.kind === "bad-data") return null;
      throw error;
    }
  }

  /** Reads every regular file of a tree that isn't known yet, so that a later fix doesn't have to. */
  learn(tree: Tree): void {
    for (const inode of tree.values()) if (inode.type === "file") this.elfOf(inode.content);
    this.save();
  }

  save(): void {
    if (this.#unsaved.size > 0) this.#catalog.setElf(this.#unsaved);
    this.#unsaved.clear();
  }
}
