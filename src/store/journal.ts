import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { readFileBounded, writeAtomic } from "../sys/files.ts";
import type { StoreLayout } from "./layout.ts";
import { decodeRecord, encodeRecord } from "./record-codec.ts";
import type { JournalRecord, Operation } from "./records.ts";

/*
 * Implements docs/formats/journal.md. One file a record: `<sequence, 10 digits>-<sha256 of its bytes>.json`. The name
 * proves the bytes, `previous` proves the order: a record that is changed, lost or put in between is noticed.
 */

const NAME = /^(\d{10})-([0-9a-f]{64})\.json$/;
const RECORD_MAX_BYTES = 64 * 1024 * 1024;
/** Ten digits in the name. */
const LAST_SEQUENCE = 9_999_999_999;

export type Journal = {
  readonly records: readonly JournalRecord[];
  /** Digest of the newest record, or "". */
  readonly head: string;
};

export const EMPTY_JOURNAL: Journal = { records: [], head: "" };

function damaged(what: string, cause?: unknown): never {
  throw new AtomfsError("bad-data", `The journal is damaged: ${what}`, {
    ...(cause === undefined ? {} : { cause }),
    hints: ["restore the store's journal folder from a backup; nothing was changed"],
  });
}

/** Reads and verifies the whole journal. @throws AtomfsError "bad-data" */
export function readJournal(directory: string): Journal {
  const records: JournalRecord[] = [];
  let head = "";
  for (const name of namesIn(directory)) {
    const [, sequence, digest] = NAME.exec(name) ?? [];
    if (digest === undefined) damaged(`${name} is not a record's name`);
    const record = readRecord(join(directory, name), name, digest);
    if (record.sequence !== Number(sequence)) damaged(`${name} holds record ${record.sequence}`);
    if (record.sequence !== records.length + 1)
      damaged(`${name} is out of sequence, record ${records.length + 1} should be here`);
    if (record.previous !== head) damaged(`${name} does not follow the record before it`);
    records.push(record);
    head = digest;
  }
  return { records, head };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (cause) {
    return damaged(`cannot list ${directory}`, cause);
  }
}

function readRecord(path: string, name: string, digest: string): JournalRecord {
  const bytes = readFileBounded(path, RECORD_MAX_BYTES);
  if (createHash("sha256").update(bytes).digest("hex") !== digest) damaged(`${name} is not what was written`);
  try {
    return decodeRecord(bytes);
  } catch (error) {
    if (!(error instanceof AtomfsError)) throw error;
    return damaged(`${name}: ${error.message}`, error);
  }
}

/** The record that would come next. */
export function nextRecord(
  journal: Journal,
  entry: { readonly time: string; readonly command: string; readonly operations: readonly Operation[] },
): JournalRecord {
  return { sequence: journal.records.length + 1, previous: journal.head, ...entry };
}

/**
 * Appends the next record; when it returns, the record survives a power loss. The caller holds the store's lock.
 * @throws AtomfsError "failed" for a record that could not be read again; nothing is written then
 */
export function appendRecord(layout: StoreLayout, journal: Journal, record: JournalRecord): Journal {
  const bytes = encodeRecord(record);
  if (bytes.length > RECORD_MAX_BYTES || record.sequence > LAST_SEQUENCE)
    throw new AtomfsError("failed", "A transaction is too large for the journal");
  decodeRecord(bytes);
  const digest = createHash("sha256").update(bytes).digest("hex");
  const name = `${String(record.sequence).padStart(10, "0")}-${digest}.json`;
  writeAtomic(join(layout.journal, name), bytes, { mode: 0o600, temporaryDirectory: layout.tmp });
  return { records: [...journal.records, record], head: digest };
}
