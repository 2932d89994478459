import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { hasCode } from "../sys/ffi.ts";
import { readFileBounded, writeAtomic } from "../sys/files.ts";
import type { StoreLayout } from "./layout.ts";

const VERSION = 1;

/** A JSON document in the store's root that the store can do without (docs/formats/store.md). */
export type NoteFile<T> = {
  readonly name: string;
  readonly maxBytes: number;
  /** @returns undefined for what is no such note; an AtomfsError says the same */
  readonly parse: (fields: Readonly<Record<string, unknown>>) => T | undefined;
};

/** Anything but a whole file of this version is as good as none: undefined. */
export function readNote<T>(layout: StoreLayout, { name, maxBytes, parse }: NoteFile<T>): T | undefined {
  try {
    const value: unknown = JSON.parse(readFileBounded(join(layout.root, name), maxBytes).toString("utf8"));
    const fields = (value ?? {}) as Readonly<Record<string, unknown>>;
    return fields["version"] === VERSION ? parse(fields) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof AtomfsError || hasCode(error, "ENOENT", "ELOOP"))
      return undefined;
    throw error;
  }
}

export function writeNote(
  layout: StoreLayout,
  { name }: NoteFile<unknown>,
  fields: Readonly<Record<string, unknown>>,
): void {
  const bytes = Buffer.from(`${JSON.stringify({ version: VERSION, ...fields })}\n`);
  writeAtomic(join(layout.root, name), bytes, { mode: 0o600, temporaryDirectory: layout.tmp });
}
