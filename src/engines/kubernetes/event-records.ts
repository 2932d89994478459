import { join } from "node:path";
import type { StoreLayout } from "../../store/layout.ts";
import { type NoteFile, readNote, writeNote } from "../../store/note-file.ts";
import { lockFileLater } from "../../sys/lock.ts";
import { isFields, text } from "../json-fields.ts";
import type { EventRecord, EventRecords } from "./events.ts";

/*
 * Implements `pod-events.json` of docs/formats/store.md: which events this node told Kubernetes. Losing the file only lets their counts
 * begin anew.
 */

const NOTE: NoteFile<EventRecords> = { name: "pod-events.json", maxBytes: 16 * 1024 * 1024, parse };

/** A report writes up to 25 events meanwhile, each by a `kubectl` of its own. */
const LOCK_TIMEOUT_MS = 60_000;

/**
 * Held from the reading to the writing: of two reports at once each would count, and forget what the other told.
 * @throws AtomfsError "stale" if another report does not end
 */
export function lockEventRecords({ root }: StoreLayout, signal?: AbortSignal): Promise<Disposable> {
  const options = { timeoutMs: LOCK_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) };
  return lockFileLater(join(root, "pod-events.lock"), "exclusive", options);
}

/** Anything but a whole file of this version is as good as none. */
export function readEventRecords(layout: StoreLayout): EventRecords {
  return readNote(layout, NOTE) ?? new Map();
}

export function writeEventRecords(layout: StoreLayout, records: EventRecords): void {
  writeNote(layout, NOTE, { events: Object.fromEntries(records) });
}

function parse({ events }: Readonly<Record<string, unknown>>): EventRecords | undefined {
  const records = new Map<string, EventRecord>();
  if (!isFields(events)) return undefined;
  for (const [key, each] of Object.entries(events)) {
    if (!isFields(each)) continue;
    const [name, message] = [text(each, "name"), text(each, "message")];
    const [count, first, written] = [each["count"], each["first"], each["written"]];
    if (name === undefined || message === undefined) continue;
    if (!isCount(count) || !isCount(first) || !isCount(written)) continue;
    records.set(key, { name, message, count, first, written });
  }
  return records;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
