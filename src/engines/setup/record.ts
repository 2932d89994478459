import { isAbsolute, normalize } from "node:path";
import { AtomfsError } from "../../core/errors.ts";
import {
  asObject,
  optionalArray,
  parseDocument,
  requiredString,
  stringArray,
} from "../../formats/oci/json.ts";

/* Implements docs/formats/setup-record.md. */

/** What of a path is compared: a digest of a regular file's bytes, or where a symlink leads. */
export type Fingerprint = string;

/** Where the record is, below the directory that everything is installed to. */
export const RECORD_PATH = "/etc/atomfs/installed.json";
const VERSION = 1;

/**
 * What `install` has made. It is written before the files are: a path in it may be absent, or still be what an earlier install made
 * of it, so it can have several fingerprints.
 */
export type SetupRecord = {
  readonly files: ReadonlyMap<string, readonly Fingerprint[]>;
  /** Directories that were not there before. */
  readonly directories: readonly string[];
};

export const EMPTY_RECORD: SetupRecord = { files: new Map(), directories: [] };

export function encodeSetupRecord({ files, directories }: SetupRecord): string {
  const list = [...files].map(([path, fingerprints]) => ({ path, fingerprints }));
  return `${JSON.stringify({ version: VERSION, files: list, directories }, null, 1)}\n`;
}

/** @throws AtomfsError "bad-data", "unsupported" for the record of a later version */
export function decodeSetupRecord(bytes: Uint8Array): SetupRecord {
  const what = RECORD_PATH;
  const value = parseDocument(bytes, what);
  if (value["version"] !== VERSION) {
    throw new AtomfsError("unsupported", `Cannot read ${what}: it is of another version of atomfs`, {
      hints: ["use the atomfs that installed"],
    });
  }
  const files = optionalArray(value, "files", what).map((each) => {
    const file = asObject(each, what);
    return [ownPath(requiredString(file, "path", what)), stringArray(file, "fingerprints", what)] as const;
  });
  return { files: new Map(files), directories: stringArray(value, "directories", what).map(ownPath) };
}

/** What is removed by this record must lie where it says. */
function ownPath(path: string): string {
  if (isAbsolute(path) && normalize(path) === path && path !== "/" && !path.includes("\0")) return path;
  throw new AtomfsError(
    "bad-data",
    `Cannot read ${RECORD_PATH}: ${JSON.stringify(path)} is no absolute path`,
  );
}
