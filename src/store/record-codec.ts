import { AtomfsError } from "../core/errors.ts";
import type { JournalRecord, Operation } from "./records.ts";

/*
 * Implements docs/formats/journal.md: what a record's fields must be. A field that is not known here is ignored, an
 * operation that is not known is refused: leaving it out would give another state.
 */

/** Says why a value is not what the format wants, or undefined. `at` is its path in the record. */
type Check = (value: unknown, at: string) => string | undefined;

const HEX_256 = /^[0-9a-f]{64}$/;
const FIX_ID = /^[0-9a-f]{12}$/;

const text: Check = (value, at) => (typeof value === "string" ? undefined : `${at} is not text`);

function matching(pattern: RegExp, what: string): Check {
  return (value, at) =>
    typeof value === "string" && pattern.test(value) ? undefined : `${at} is not ${what}`;
}

const digest = matching(HEX_256, "a digest");
const fixId = matching(FIX_ID, "a fix's id");
/** The only form that `Date.toISOString` writes for our times. */
const time = matching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, "a time");

const positive: Check = (value, at) =>
  typeof value === "number" && Number.isSafeInteger(value) && value > 0
    ? undefined
    : `${at} is not a number from 1 on`;

function listOf(check: Check): Check {
  return (value, at) => {
    if (!Array.isArray(value)) return `${at} is not a list`;
    for (const [index, item] of value.entries()) {
      const problem = check(item, `${at}[${index}]`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fields(checks: Readonly<Record<string, Check>>): Check {
  return (value, at) => {
    if (!isObject(value)) return `${at} is not an object`;
    for (const [name, check] of Object.entries(checks)) {
      const problem = check(value[name], `${at}.${name}`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
}

const textMap: Check = (value, at) =>
  isObject(value) && Object.values(value).every((each) => typeof each === "string")
    ? undefined
    : `${at} is not an object of texts`;

const image = fields({
  config: digest,
  manifest: digest,
  atoms: listOf(digest),
  distribution: fields({ id: text, codename: text, version: text }),
  architecture: text,
  source: text,
  labels: textMap,
  env: listOf(text),
});

const fix = fields({
  id: fixId,
  title: text,
  distribution: fields({ id: text, codename: text }),
  architecture: text,
  scope: fields({ images: listOf(text), exclude: listOf(text) }),
  replacements: listOf(fields({ package: text, architecture: text, version: text, atom: digest })),
  provenance: text,
});

const generation = fields({
  config: digest,
  number: positive,
  molecule: digest,
  fixes: listOf(fixId),
  composer: positive,
  reason: text,
});

const OPERATIONS: { readonly [Name in Operation["op"]]: Check } = {
  "image-added": fields({ image }),
  "image-removed": fields({ config: digest }),
  "name-set": fields({ name: text, config: digest }),
  "name-removed": fields({ name: text }),
  "fix-added": fields({ fix }),
  "fix-removed": fields({ id: fixId }),
  generation: fields({ generation }),
};

const operation: Check = (value, at) => {
  const name = isObject(value) ? value["op"] : undefined;
  if (typeof name !== "string" || !Object.hasOwn(OPERATIONS, name))
    return `${at} is an operation that this version does not know: ${JSON.stringify(name)}`;
  return OPERATIONS[name as Operation["op"]](value, at);
};

const record = fields({
  sequence: positive,
  previous: (value, at) => (value === "" ? undefined : digest(value, at)),
  time,
  command: text,
  operations: listOf(operation),
});

export function encodeRecord(value: JournalRecord): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`, "utf8");
}

/** @throws AtomfsError "bad-data" that says which field is wrong */
export function decodeRecord(bytes: Uint8Array): JournalRecord {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch (cause) {
    throw new AtomfsError("bad-data", "it is not JSON", { cause });
  }
  const problem = record(value, "record");
  if (problem !== undefined) throw new AtomfsError("bad-data", problem);
  return value as JournalRecord;
}
