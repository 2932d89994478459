import type { StoreLayout } from "./layout.ts";
import { type NoteFile, readNote, writeNote } from "./note-file.ts";

/* Implements `last-gc.json` of docs/formats/store.md: when gc last came to its end, and what it removed. */

export type GcRecord = {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Removed. */
  readonly images: number;
  readonly files: number;
  readonly bytes: number;
};

const NOTE: NoteFile<GcRecord> = { name: "last-gc.json", maxBytes: 64 * 1024, parse };

/** Undefined if gc never came to its end, or anything but a whole record of this version is there. */
export function readGcRecord(layout: StoreLayout): GcRecord | undefined {
  return readNote(layout, NOTE);
}

/** Has gc not come to its end for so long? A clock that was set back must not hold it. */
export function isGcDue(last: GcRecord | undefined, everyMs: number, now: Date): boolean {
  if (last === undefined) return true;
  const age = now.getTime() - Date.parse(last.at);
  return age < 0 || age >= everyMs;
}

export function writeGcRecord(layout: StoreLayout, record: GcRecord): void {
  writeNote(layout, NOTE, record);
}

function parse({ at, images, files, bytes }: Readonly<Record<string, unknown>>): GcRecord | undefined {
  if (typeof at !== "string" || Number.isNaN(Date.parse(at))) return undefined;
  if (![images, files, bytes].every((each) => typeof each === "number" && Number.isFinite(each)))
    return undefined;
  return { at, images: Number(images), files: Number(files), bytes: Number(bytes) };
}
