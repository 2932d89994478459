import { join } from "node:path";
import { AtomfsError } from "../../core/errors.ts";
import type { StoreLayout } from "../../store/layout.ts";
import { hasCode } from "../../sys/ffi.ts";
import { readFileBounded, writeAtomic } from "../../sys/files.ts";
import { isFields, text } from "../json-fields.ts";
import type { EventRecord, EventRecords } from "./events.ts";

/*
 * Implements `pod-events.json` of docs/formats/store.md: which events this node told Kubernetes. Losing the file only lets their counts
 * begin anew.
 */

const VERSION = 1;
const MAX_BYTES = 16 * 1024 * 1024;

function pathOf(layout: StoreLayout): string {
  return join(layout.root, "pod-events.json");
}

/** Anything but a whole file of this version is as good as none. */
export function readEventRecords(layout: StoreLayout): EventRecords {
  try {
    return parse(JSON.parse(readFileBounded(pathOf(layout), MAX_BYTES).toString("utf8")));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof AtomfsError || hasCode(error, "ENOENT", "ELOOP"))
      return new Map();
    throw error;
  }
}

export function writeEventRecords(layout: StoreLayout, records: EventRecords): void {
  const bytes = Buffer.from(`${JSON.stringify({ version: VERSION, events: Object.fromEntries(records) })}\n`);
  writeAtomic(pathOf(layout), bytes, { mode: 0o600, temporaryDirectory: layout.tmp });
}

function parse(value: unknown): EventRecords {
  const records = new Map<string, EventRecord>();
  if (!isFields(value) || value["version"] !== VERSION || !isFields(value["events"])) return records;
  for (const [key, each] of Object.entries(value["events"])) {
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
