import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Counts } from "./plan.ts";

/** What became of one part: a job on one machine. */
export type PartRecord = Counts & {
  /** "6.1:launcher" */
  readonly part: string;
  readonly seconds: number;
};

/** States of the sources, beside today's. */
const KEPT = 5;

/** What parts came to with one state of the sources, so that a run that was cut can be taken up. */
export class Records<T extends { readonly part: string } = PartRecord> {
  readonly #directory: string;

  /** @param sources a digest of all that decides what the parts come to */
  constructor(cache: string, sources: string) {
    this.#directory = join(cache, "results", sources);
    mkdirSync(this.#directory, { recursive: true });
    forgetOld(dirname(this.#directory), this.#directory);
  }

  read(part: string): T | undefined {
    const file = this.#file(part);
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as T) : undefined;
  }

  write(record: T): void {
    const file = this.#file(record.part);
    writeFileSync(`${file}.tmp`, JSON.stringify(record));
    renameSync(`${file}.tmp`, file);
  }

  #file(part: string): string {
    return join(this.#directory, `${part}.json`);
  }
}

/** @param mine is kept however old it is */
function forgetOld(parent: string, mine: string): void {
  const newestFirst = readdirSync(parent)
    .filter((name) => join(parent, name) !== mine)
    .sort((a, b) => statSync(join(parent, b)).mtimeMs - statSync(join(parent, a)).mtimeMs);
  for (const name of newestFirst.slice(KEPT)) rmSync(join(parent, name), { recursive: true });
}
