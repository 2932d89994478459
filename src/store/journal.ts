import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { readFileBounded, writeAtomic } from "../sys/files.ts";
import type { StoreLayout } from "./layout.ts";
import type { JournalRecord, Operation } from "./records.ts";

/*
 * Implements docs/formats/journal.md. One file a record: `<sequence, 10 digits>-<sha256 of its bytes>.json`. The name
 * proves the bytes, `previous` proves the order: a record that is changed, lost or put in between is noticed.
 */

const NAME = /^(\d{10})-([0-9a-f]{64})\.json$/;
const RECORD_MAX_BYTES = 64 * 1024 * 1024;

export type Journal = {
  readonly records: readonly JournalRecord[] /** Digest of the newest record, or "". */;
  readonly head: string;
};

function damaged(what: string): never {
  throw new AtomfsError("bad-data", `The journal is damaged: ${what}`, {
    hints: ["restore the store's journal folder from a backup; nothing was changed"],
  });
}

/** Reads and verifies the whole journal. */
export function readJournal(directory: string): Journal {
  const names = readdirSync(directory)
    .filter((name) => NAME.test(name))
    .sort();
  const records: JournalRecord[] = [];
  let head = "";
  for (const name of names) {
    const [, sequence, digest] = NAME.exec(name) as unknown as [string, string, string];
    const bytes = readFileBounded(join(directory, name), RECORD_MAX_BYTES);
    if (createHash("sha256").update(bytes).digest("hex") !== digest)
      damaged(`${name} is not what was written`);
    const record = JSON.parse(Buffer.from(bytes).toString("utf8")) as JournalRecord;
    if (record.sequence !== Number(sequence) || record.sequence !== records.length + 1)
      damaged(`${name} is out of sequence`);
    if (record.previous !== head) damaged(`${name} does not follow the record before it`);
    records.push(record);
    head = digest;
  }
  return { records, head };
}

/** Appends one record; when it returns, the record survives a power loss. The caller holds the store's lock. */
export function appendRecord(
  layout: StoreLayout,
  journal: Journal,
  entry: { readonly time: string; readonly command: string; readonly operations: readonly Operation[] },
): { readonly journal: Journal; readonly record: JournalRecord } {
  const record: JournalRecord = { sequence: journal.records.length + 1, previous: journal.head, ...entry };
  const bytes = Buffer.from(`${JSON.stringify(record)}\n`, "utf8");
  if (bytes.length > RECORD_MAX_BYTES)
    throw new AtomfsError("failed", "A transaction is too large for one journal record");
  const digest = createHash("sha256").update(bytes).digest("hex");
  const name = `${String(record.sequence).padStart(10, "0")}-${digest}.json`;
  writeAtomic(join(layout.journal, name), bytes, { mode: 0o600, temporaryDirectory: layout.tmp });
  return { journal: { records: [...journal.records, record], head: digest }, record };
}
