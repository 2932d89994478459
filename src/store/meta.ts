import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { fsyncDirectory, readFileBounded, writeAtomic } from "../sys/files.ts";
import { STORE_DIRECTORIES, type StoreLayout } from "./layout.ts";

export const FORMAT_VERSION = 1;
const META_MAX_BYTES = 64 * 1024;

/**
 * meta.json. An unknown feature of the first list may be ignored; with one of the others this version does not open
 * the store (it has no mode that only reads).
 */
type Meta = {
  readonly version: number;
  readonly compatible: readonly string[];
  readonly readOnlyCompatible: readonly string[];
  readonly incompatible: readonly string[];
};

const OWN_META: Meta = { version: FORMAT_VERSION, compatible: [], readOnlyCompatible: [], incompatible: [] };

/**
 * Makes an empty store. Its meta.json comes last: without it there is no store, and this can be done again.
 * @throws AtomfsError "usage" if the directory holds something else
 */
export function createStore(layout: StoreLayout): void {
  mkdirSync(layout.root, { recursive: true, mode: 0o700 });
  // The root of an ext4 filesystem has lost+found.
  const own = new Set<string>([...STORE_DIRECTORIES, basename(layout.meta), "lost+found"]);
  const foreign = readdirSync(layout.root).find((name) => !own.has(name));
  if (foreign !== undefined) {
    throw new AtomfsError("usage", `Cannot make a store in ${layout.root}: it holds "${foreign}"`, {
      hints: ["--root or ATOMFS_ROOT must name an empty or a new directory, or a store"],
    });
  }
  // It may have been there before, open to others; and mkdir obeys the umask.
  chmodSync(layout.root, 0o700);
  for (const name of STORE_DIRECTORIES) {
    mkdirSync(join(layout.root, name), { recursive: true });
    chmodSync(join(layout.root, name), 0o700);
  }
  const bytes = Buffer.from(`${JSON.stringify(OWN_META)}\n`);
  writeAtomic(layout.meta, bytes, { mode: 0o600, temporaryDirectory: layout.tmp });
  fsyncDirectory(join(layout.root, ".."));
}

/** @throws AtomfsError "unsupported" for a store that only another version can open, "bad-data" */
export function checkMeta(layout: StoreLayout): void {
  const meta = readMeta(layout);
  if (meta.version !== FORMAT_VERSION) refuse(layout, `format version ${meta.version}`);
  const unknown = [...meta.incompatible, ...meta.readOnlyCompatible];
  if (unknown.length > 0) refuse(layout, `the features ${unknown.join(", ")}`);
}

function refuse(layout: StoreLayout, what: string): never {
  throw new AtomfsError(
    "unsupported",
    `The store at ${layout.root} has ${what}, which this version of atomfs does not know`,
    { hints: ["use the version of atomfs that made it, or a newer one"] },
  );
}

function readMeta(layout: StoreLayout): Meta {
  try {
    const value: unknown = JSON.parse(readFileBounded(layout.meta, META_MAX_BYTES).toString("utf8"));
    if (isMeta(value)) return value;
  } catch (cause) {
    throw damaged(layout, cause);
  }
  throw damaged(layout, undefined);
}

function damaged(layout: StoreLayout, cause: unknown): AtomfsError {
  return new AtomfsError("bad-data", `Cannot read ${layout.meta}`, {
    ...(cause === undefined ? {} : { cause }),
    hints: ["is this an AtomFS store?"],
  });
}

function isMeta(value: unknown): value is Meta {
  if (typeof value !== "object" || value === null) return false;
  const meta: Partial<Record<keyof Meta, unknown>> = value;
  const lists = [meta.compatible, meta.readOnlyCompatible, meta.incompatible];
  // A later version may have other lists: its number is all that counts then.
  if (Number.isSafeInteger(meta.version) && meta.version !== FORMAT_VERSION) return true;
  return (
    meta.version === FORMAT_VERSION &&
    lists.every((list) => Array.isArray(list) && list.every((name) => typeof name === "string"))
  );
}
