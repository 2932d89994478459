import { existsSync, lstatSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { AtomfsError } from "../../core/errors.ts";
import { lockDirectory } from "../../sys/directory-lock.ts";
import type { Fd } from "../../sys/fd.ts";
import { hasCode } from "../../sys/ffi.ts";
import { readFileBounded } from "../../sys/files.ts";
import { LOCK_TIMEOUT_MS } from "../../sys/lock.ts";
import { SETUP_DIRECTORY, type SetupFile } from "./files.ts";
import { fingerprintOf, placeFile, placeText, unfinishedPath, wantedFingerprint } from "./files-on-disk.ts";
import {
  decodeSetupRecord,
  EMPTY_RECORD,
  encodeSetupRecord,
  type Fingerprint,
  RECORD_PATH,
  type SetupRecord,
} from "./record.ts";

const RECORD_MAX_BYTES = 1024 * 1024;

export type SetupAction = {
  readonly path: string;
  /** "kept": it is not ours, or was changed, and is left as it is. "absent": there was nothing to remove. */
  readonly action: "make" | "replace" | "unchanged" | "kept" | "remove" | "absent";
};

export type SetupPlace = {
  /** The machine's root directory, "/", or one that becomes it: an image, a host's root in a container. */
  readonly root: string;
  /** Only says what would be done. */
  readonly dryRun: boolean;
};

type Step = SetupAction & { readonly file: SetupFile; readonly wanted: Fingerprint };

/**
 * Makes the files, and removes those of `retired` that an earlier install made and nobody changed. What an earlier install made is replaced, nothing else is: safe to repeat, also after a crash at any
 * instant, because the record names a file before it is there.
 * @throws AtomfsError "blocked" if a file of somebody else is in the way; nothing was changed then
 */
export function installSetup(
  files: readonly SetupFile[],
  place: SetupPlace,
  retired: readonly string[] = [],
): SetupAction[] {
  const { root } = place;
  if (place.dryRun) {
    const record = readRecord(root);
    return [...planInstall(files, root, record).map(shown), ...planRemoval(record, retired, root)];
  }
  const newDirectories = [
    ...missingDirectories(root, RECORD_PATH),
    ...(isLeftOver(root) ? [SETUP_DIRECTORY] : []),
  ];
  // Refused before even the directory of the lock is made.
  planInstall(files, root, readRecord(root));
  mkdirSync(join(root, SETUP_DIRECTORY), { recursive: true, mode: 0o755 });
  using _lock = lockSetup(root);
  const before = readRecord(root);
  const steps = planInstall(files, root, before);
  const made = steps.filter(({ action }) => action !== "kept");
  const missing = made.flatMap(({ path }) => missingDirectories(root, path));
  const directories = [...new Set([...before.directories, ...newDirectories, ...missing])];
  const both = made.map(({ path, wanted }): [string, Fingerprint[]] => [
    path,
    [...new Set([...(before.files.get(path) ?? []), wanted])],
  ]);
  writeRecord(root, { files: new Map([...before.files, ...both]), directories });
  for (const { path, file, action } of made) {
    mkdirSync(dirname(join(root, path)), { recursive: true, mode: 0o755 });
    rmSync(unfinishedPath(join(root, path)), { force: true });
    if (action !== "unchanged") placeFile(file, join(root, path));
  }
  const removals = planRemoval(before, retired, root);
  for (const { path, action } of removals) if (action === "remove") rmSync(join(root, path));
  const now = made.map(({ path, wanted }): [string, Fingerprint[]] => [path, [wanted]]);
  const gone = new Set(removals.flatMap(({ path, action }) => (action === "kept" ? [] : [path])));
  const kept = [...before.files].filter(([path]) => !gone.has(path));
  writeRecord(root, { files: new Map([...kept, ...now]), directories });
  return [...steps.map(shown), ...removals.filter(({ action }) => action !== "absent")];
}

function planRemoval({ files }: SetupRecord, paths: readonly string[], root: string): SetupAction[] {
  return paths.flatMap((path): SetupAction[] => {
    const fingerprints = files.get(path);
    if (fingerprints === undefined) return [];
    const found = fingerprintOf(join(root, path));
    if (found === undefined) return [{ path, action: "absent" }];
    return [{ path, action: fingerprints.includes(found) ? "remove" : "kept" }];
  });
}

function shown({ path, action }: SetupAction): SetupAction {
  return { path, action };
}

function planInstall(files: readonly SetupFile[], root: string, record: SetupRecord): Step[] {
  const steps = files.map((file): Step | string => {
    const { path } = file;
    const inTheWay = noDirectory(root, path);
    if (inTheWay !== undefined) return inTheWay;
    const wanted = wantedFingerprint(file);
    const found = fingerprintOf(join(root, path));
    if (found === undefined) return { path, action: "make", file, wanted };
    const isOurs = record.files.get(path)?.includes(found) === true;
    if (found === wanted) return { path, action: isOurs ? "unchanged" : "kept", file, wanted };
    if (file.kind === "settings") return { path, action: "kept", file, wanted };
    return isOurs ? { path, action: "replace", file, wanted } : path;
  });
  const foreign = [...new Set(steps.filter((step) => typeof step === "string"))];
  if (foreign.length > 0) {
    throw new AtomfsError(
      "blocked",
      `Cannot install: ${foreign.join(", ")}: not made by atomfs, or changed`,
      {
        hints: ["move it out of the way, or take it over by hand; nothing was changed"],
      },
    );
  }
  return steps.filter((step) => typeof step !== "string");
}

/**
 * Removes what `installSetup` made, and nothing else: a file that is no longer what was made is kept and named.
 */
export function uninstallSetup({ root, dryRun }: SetupPlace): SetupAction[] {
  using _lock = existsSync(join(root, SETUP_DIRECTORY)) && !dryRun ? lockSetup(root) : undefined;
  const record = readRecord(root);
  const actions = planRemoval(record, [...record.files.keys()].reverse(), root);
  if (dryRun) return actions;
  for (const { path, action } of actions) {
    if (action === "remove") rmSync(join(root, path));
    if (existsSync(dirname(join(root, path)))) rmSync(unfinishedPath(join(root, path)), { force: true });
  }
  // The record last: whoever is killed here can go on. What is above it goes after it.
  const inward = [...record.directories].sort((a, b) => b.length - a.length);
  for (const directory of inward) removeIfEmpty(join(root, directory));
  const wasLeftOver = isLeftOver(root);
  rmSync(join(root, RECORD_PATH), { force: true });
  rmSync(unfinishedPath(join(root, RECORD_PATH)), { force: true });
  if (wasLeftOver) removeIfEmpty(join(root, SETUP_DIRECTORY));
  for (const directory of inward) removeIfEmpty(join(root, directory));
  return actions;
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ENOTEMPTY", "ENOTDIR", "EBUSY")) throw error;
  }
}

/** The directory of an install that was killed before its record was there, or of an uninstall after it was gone. */
function isLeftOver(root: string): boolean {
  const directory = join(root, SETUP_DIRECTORY);
  const unfinished = basename(unfinishedPath(RECORD_PATH));
  return existsSync(directory) && readdirSync(directory).every((name) => name === unfinished);
}

/** Something else where a directory must be. */
function noDirectory(root: string, path: string): string | undefined {
  for (let at = dirname(path); at !== "/"; at = dirname(at)) {
    if (existsSync(join(root, at))) return statSync(join(root, at)).isDirectory() ? undefined : at;
  }
  return undefined;
}

function missingDirectories(root: string, path: string): string[] {
  const missing: string[] = [];
  for (let at = dirname(path); at !== "/" && !existsSync(join(root, at)); at = dirname(at))
    missing.unshift(at);
  return missing;
}

function readRecord(root: string): SetupRecord {
  const path = join(root, RECORD_PATH);
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return EMPTY_RECORD;
  return decodeSetupRecord(readFileBounded(path, RECORD_MAX_BYTES));
}

function writeRecord(root: string, record: SetupRecord): void {
  placeText(encodeSetupRecord(record), join(root, RECORD_PATH));
}

function lockSetup(root: string): Fd {
  const directory = join(root, SETUP_DIRECTORY);
  const lock = lockDirectory(directory, LOCK_TIMEOUT_MS);
  if (typeof lock !== "string") return lock;
  throw new AtomfsError("stale", `Cannot lock ${directory}: another install or uninstall is at work`, {
    hints: ["wait for it to end, then try again"],
  });
}
