import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { hasCode } from "../sys/ffi.ts";
import { readFileBounded, writeAtomic } from "../sys/files.ts";
import { probeMounts } from "./probe.ts";
import type { MountCapabilities } from "./spec.ts";

/** Raised when the probe asks for other things than before. */
const PROBE_VERSION = 1;
const MAX_BYTES = 4096;

/** Each field's possible values: says what a cache file may hold. */
const VALUES = {
  erofs: ["file", "loop", "none"],
  layers: ["fd", "path"],
  dataOnly: ["plain", "metacopy", "none"],
  singleColon: [true, false],
  secondLevel: [true, false],
  verity: ["plain", "metacopy", "none"],
} as const satisfies { readonly [K in keyof MountCapabilities]: readonly MountCapabilities[K][] };

/**
 * What `probeMounts` found since this boot for the filesystem that holds the store; tries it if nobody has yet.
 * @param directories.temporary the store's own place for what is half done
 * @param directories.run of this boot, closed to others: holds the cache file `probe.json`
 */
export function cachedProbe(directories: {
  readonly temporary: string;
  readonly run: string;
}): MountCapabilities {
  const file = join(directories.run, "probe.json");
  const key = `${PROBE_VERSION} ${bootId()} ${statSync(directories.temporary).dev}`;
  const known = readCache(file, key);
  if (known !== undefined) return known;
  const capabilities = probeMounts(directories.temporary, directories.run);
  mkdirSync(directories.run, { recursive: true, mode: 0o700 });
  writeAtomic(file, Buffer.from(JSON.stringify({ key, capabilities })), { mode: 0o600 });
  return capabilities;
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
}

/** Anything but a whole answer to this question is no answer. */
function readCache(file: string, key: string): MountCapabilities | undefined {
  try {
    const value: unknown = JSON.parse(readFileBounded(file, MAX_BYTES).toString("utf8"));
    if (!isRecord(value) || value["key"] !== key) return undefined;
    const { capabilities } = value;
    return isCapabilities(capabilities) ? capabilities : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof AtomfsError || hasCode(error, "ENOENT", "ELOOP")) {
      return undefined;
    }
    throw error;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isCapabilities(value: unknown): value is MountCapabilities {
  if (!isRecord(value)) return false;
  return Object.entries(VALUES).every(([key, values]) => (values as readonly unknown[]).includes(value[key]));
}
