import { AtomfsError } from "../../core/errors.ts";

/** A JSON document of a stranger: every field is looked at before it is used, unknown fields stay. */
export type JsonObject = { readonly [key: string]: unknown };

/** Registries refuse manifests over 4 MiB; configs with long histories are far below. */
export const MAX_DOCUMENT: number = 4 * 1024 * 1024;
const MAX_ITEMS = 10_000;
const MAX_STRING = 256 * 1024;

export function badOci(why: string, cause?: unknown): AtomfsError {
  return new AtomfsError("bad-data", `Cannot read ${why}`, cause === undefined ? {} : { cause });
}

/** @throws AtomfsError "bad-data" unless the bytes are one JSON object in UTF-8 of at most `MAX_DOCUMENT` bytes */
export function parseDocument(bytes: Uint8Array, what: string): JsonObject {
  if (bytes.length > MAX_DOCUMENT) throw badOci(`${what}: it is longer than ${MAX_DOCUMENT} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw badOci(`${what}: it is not JSON`, error);
  }
  return asObject(value, what);
}

export function asObject(value: unknown, what: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw badOci(`${what}: it is not a JSON object`);
  return value as JsonObject;
}

/** A string, or undefined if the field is absent or null (as Go writes empty values). */
export function optionalString(object: JsonObject, key: string, what: string): string | undefined {
  const value = field(object, key);
  if (value === undefined) return undefined;
  if (typeof value !== "string" || value.length > MAX_STRING)
    throw badOci(`${what}: ${key} is not a string of at most ${MAX_STRING} characters`);
  return value;
}

export function requiredString(object: JsonObject, key: string, what: string): string {
  const value = optionalString(object, key, what);
  if (value === undefined) throw badOci(`${what}: it has no ${key}`);
  return value;
}

export function requiredSize(object: JsonObject, key: string, what: string): number {
  const value = field(object, key);
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw badOci(`${what}: ${key} is not a size`);
  return value;
}

export function optionalObject(object: JsonObject, key: string, what: string): JsonObject {
  const value = field(object, key);
  return value === undefined ? {} : asObject(value, `${what}, ${key}`);
}

export function optionalArray(object: JsonObject, key: string, what: string): readonly unknown[] {
  const value = field(object, key);
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > MAX_ITEMS)
    throw badOci(`${what}: ${key} is not a list of at most ${MAX_ITEMS} items`);
  return value;
}

export function requiredArray(object: JsonObject, key: string, what: string): readonly unknown[] {
  if (field(object, key) === undefined) throw badOci(`${what}: it has no ${key}`);
  return optionalArray(object, key, what);
}

export function stringArray(object: JsonObject, key: string, what: string): readonly string[] {
  return optionalArray(object, key, what).map((value) => {
    if (typeof value !== "string" || value.length > MAX_STRING)
      throw badOci(`${what}: ${key} has an item that is not a string`);
    return value;
  });
}

export function stringMap(object: JsonObject, key: string, what: string): ReadonlyMap<string, string> {
  const entries = Object.entries(optionalObject(object, key, what));
  if (entries.length > MAX_ITEMS) throw badOci(`${what}: ${key} has more than ${MAX_ITEMS} entries`);
  const map = new Map<string, string>();
  for (const [name, value] of entries) {
    if (typeof value !== "string" || value.length > MAX_STRING)
      throw badOci(`${what}: ${key} has a value that is not a string`);
    map.set(name, value);
  }
  return map;
}

function field(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? (object[key] ?? undefined) : undefined;
}
