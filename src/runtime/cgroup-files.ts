import { join } from "node:path";
import { readIfThere } from "./read-if-there.ts";

/** The files of a container's control groups, whichever hierarchy has them. */
export class CgroupFiles {
  readonly #directories: readonly string[];

  /** @param directories the container's, one a hierarchy */
  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  /** Undefined if no hierarchy has the file, and for "max". */
  number(name: string): bigint | undefined {
    return integer(this.text(name)?.trim() ?? "");
  }

  /** Lines of a name and a number. */
  table(name: string): Readonly<Record<string, bigint>> {
    const found: Record<string, bigint> = {};
    for (const [key, text] of this.rows(name)) {
      const value = integer(text ?? "");
      if (key !== undefined && value !== undefined) found[key] = value;
    }
    return found;
  }

  /** The words of each line that has some. */
  rows(name: string): string[][] {
    const lines = this.text(name)?.split("\n") ?? [];
    return lines
      .map((line) => line.split(/\s+/).filter((word) => word !== ""))
      .filter((words) => words.length > 0);
  }

  /** On hybrid machines several hierarchies may have a file of the name; the v1 one, if there is one, has the numbers. */
  text(name: string): string | undefined {
    let fallback: string | undefined;
    for (const directory of this.#directories) {
      const text = readIfThere(join(directory, name));
      if (text === undefined) continue;
      if (readIfThere(join(directory, "cgroup.controllers")) === undefined) return text;
      fallback ??= text;
    }
    return fallback;
  }
}

function integer(text: string): bigint | undefined {
  return /^[0-9]+$/.test(text) ? BigInt(text) : undefined;
}
