import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { hasCode } from "../sys/ffi.ts";
import { readFileBounded, writeAtomic } from "../sys/files.ts";
import type { StoreLayout } from "./layout.ts";

/* Implements `last-gc.json` of docs/formats/store.md: when gc last came to its end, and what it removed. */

export type GcRecord = {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Removed. */
  readonly images: number;
  readonly files: number;
  readonly bytes: number;
};

const VERSION = 1;
const MAX_BYTES = 64 * 1024;

function pathOf(layout: StoreLayout): string {
  return join(layout.root, "last-gc.json");
}

/** Undefined if gc never came to its end, or anything but a whole record of this version is there. */
export function readGcRecord(layout: StoreLayout): GcRecord | undefined {
  try {
    return parse(JSON.parse(readFileBounded(pathOf(layout), MAX_BYTES).toString("utf8")));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof AtomfsError || hasCode(error, "ENOENT", "ELOOP"))
      return undefined;
    throw error;
  }
}

export function writeGcRecord(layout: StoreLayout, record: GcRecord): void {
  const bytes = Buffer.from(`${JSON.stringify({ version: VERSION, ...record })}\n`);
  writeAtomic(pathOf(layout), bytes, { mode: 0o600, temporaryDirectory: layout.tmp });
}

function parse(value: unknown): GcRecord | undefined {
  const fields = (value ?? {}) as Readonly<Record<string, unknown>>;
  const { version, at, images, files, bytes } = fields;
  if (version !== VERSION || typeof at !== "string" || Number.isNaN(Date.parse(at))) return undefined;
  if (![images, files, bytes].every((each) => typeof each === "number" && Number.isFinite(each)))
    return undefined;
  return { at, images: Number(images), files: Number(files), bytes: Number(bytes) };
}
