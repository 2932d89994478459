import type { ByteString } from "../core/bytestring.ts";
import type { ElfInfo } from "../formats/elf/elf.ts";
import {
  DEFINES_BASE,
  DEFINES_HIDDEN,
  type ElfDefinition,
  type ElfReference,
} from "../formats/elf/symbols.ts";
import type { LoadedObject } from "./loader.ts";

/** Finds definitions by name; the table of each file is made once, when it is first asked. */
export class DefinitionIndex {
  readonly #isMusl: boolean;
  readonly #tables = new Map<ElfInfo, ReadonlyMap<ByteString, readonly ElfDefinition[]>>();

  /** @param isMusl musl's loader compares names only */
  constructor(isMusl: boolean) {
    this.#isMusl = isMusl;
  }

  /** The definition that a reference binds to in this file, by glibc's rules (dl-lookup.c, check_match). */
  find(info: ElfInfo, name: ByteString, version: ByteString): ElfDefinition | undefined {
    const candidates = this.#table(info).get(name);
    if (candidates === undefined) return undefined;
    if (this.#isMusl || !info.versioned) return candidates[0];
    if (version === "") {
      const isBase = (definition: ElfDefinition): boolean => (definition[2] & DEFINES_BASE) !== 0;
      return candidates.find(isBase) ?? candidates.find((definition) => !isHidden(definition));
    }
    // A reference with version also takes a definition that has none.
    return candidates.find(
      (definition) => definition[1] === version || (definition[1] === "" && !isHidden(definition)),
    );
  }

  /** The first object in the order of the search that has it. */
  findIn(
    objects: readonly LoadedObject[],
    name: ByteString,
    version: ByteString,
  ): { readonly object: LoadedObject; readonly definition: ElfDefinition } | undefined {
    for (const object of objects) {
      const definition = this.find(object.info, name, version);
      if (definition !== undefined) return { object, definition };
    }
    return undefined;
  }

  /** Strong references of one file that no object of the scope satisfies. */
  unresolved(info: ElfInfo, scope: readonly LoadedObject[]): ElfReference[] {
    return info.requires.filter(
      ([name, version, , weak]) => weak === 0 && this.findIn(scope, name, version) === undefined,
    );
  }

  #table(info: ElfInfo): ReadonlyMap<ByteString, readonly ElfDefinition[]> {
    const known = this.#tables.get(info);
    if (known !== undefined) return known;
    const table = new Map<ByteString, ElfDefinition[]>();
    for (const definition of info.defines) {
      const same = table.get(definition[0]);
      if (same === undefined) table.set(definition[0], [definition]);
      else same.push(definition);
    }
    this.#tables.set(info, table);
    return table;
  }
}

function isHidden(definition: ElfDefinition): boolean {
  return (definition[2] & DEFINES_HIDDEN) !== 0;
}

/** "name@VERSION" for people and as a key. */
export function symbolText(name: ByteString, version: ByteString): ByteString {
  return (version === "" ? name : `${name}@${version}`) as ByteString;
}
