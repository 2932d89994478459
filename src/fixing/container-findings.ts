import { createHash } from "node:crypto";
import { constants, fstatSync, openSync, readSync } from "node:fs";
import { infoPath, packageKey, readTreeFile, STATUS_PATH } from "../atoms/dpkg-database.ts";
import { displayText, parseTreePath, type TreePath } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import type { ReadObject, Tree } from "../core/tree.ts";
import { parseMd5sums } from "../formats/dpkg/lists.ts";
import { infoBaseName, type PackageRecord, parseStatus } from "../formats/dpkg/status.ts";
import type { Store } from "../store/store.ts";
import { Fd, O_PATH } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";
import { openInRoot } from "../sys/openat2.ts";
import { isDocumentation } from "./checks.ts";
import { type MoleculeTrees, mountOf, openRoot, type RootState } from "./container-root.ts";

/** Of a status file; Debian's largest installations have some megabytes. */
const MAX_STATUS = 64 << 20;
/** Of a package's list and of a file that is measured. */
const MAX_FILE = 256 << 20;
const PATHS_SHOWN = 3;

/**
 * What of a running container's root is not what its molecule has, one sentence each: files that its writable layer or a
 * volume hides, packages that its own package database names wrongly.
 * @throws AtomfsError "not-found" if the process has ended
 */
export function containerFindings(
  store: Store,
  trees: MoleculeTrees,
  state: RootState,
  pid: number,
): string[] {
  const shadowed = state.shadowed.map(
    (path) => `it has its own ${displayText(path)} over the molecule's (writable layer or volume)`,
  );
  const tree = state.molecule === undefined ? undefined : trees.find(state.molecule);
  if (tree === undefined) return shadowed;
  using root = openRoot(pid);
  return [...shadowed, ...databaseFindings(root, tree, (digest) => store.readObject(digest))];
}

/**
 * Packages of a container whose own package database says another version than its molecule's, though the files are not of
 * that version: a database that was written while the container had another molecule, so before a fix or a revert.
 * Nothing of the container is run: files are opened inside `root` only, and only regular ones of its own mount.
 * @param tree the molecule that the root has
 * @returns one sentence for each package
 */
export function databaseFindings(root: Fd, tree: Tree, readObject: ReadObject): string[] {
  const ours = readTreeFile(tree, STATUS_PATH, readObject);
  if (ours === undefined) return [];
  const theirs = readInRoot(root, STATUS_PATH, MAX_STATUS);
  if (theirs === undefined || Buffer.compare(ours, theirs) === 0) return [];
  const claims = claimsOf(theirs);
  if (claims === undefined) return ["the container's package database cannot be read"];
  return parseStatus(ours).flatMap((record) => {
    const claimed = claims.get(keyOf(record));
    if (claimed === undefined || claimed.version === record.version) return [];
    const why = disagreement(root, tree, readObject, record);
    if (why === undefined) return [];
    return [`${keyOf(record)} is ${claimed.version} to the container's package database, but ${why}`];
  });
}

function keyOf(record: PackageRecord): string {
  return packageKey({ name: record.package, architecture: record.architecture });
}

/** Undefined for what is no package database: the container's word is not worth an error of ours. */
function claimsOf(status: Uint8Array): ReadonlyMap<string, PackageRecord> | undefined {
  try {
    const installed = parseStatus(status).filter(({ status: { state } }) => state === "installed");
    return new Map(installed.map((record) => [keyOf(record), record]));
  } catch (error) {
    if (error instanceof AtomfsError) return undefined;
    throw error;
  }
}

function disagreement(
  root: Fd,
  tree: Tree,
  readObject: ReadObject,
  record: PackageRecord,
): string | undefined {
  const path = infoPath(infoBaseName(record), "md5sums");
  const ours = readTreeFile(tree, path, readObject);
  const theirs = readInRoot(root, path, MAX_FILE);
  if (theirs === undefined) return undefined;
  if (ours !== undefined && Buffer.compare(ours, theirs) === 0)
    return `its files are those of ${record.version}`;
  const altered = alteredFiles(root, theirs);
  if (altered.length === 0) return undefined;
  const shown = altered.slice(0, PATHS_SHOWN).map(displayText).join(", ");
  const more = altered.length > PATHS_SHOWN ? ` and ${altered.length - PATHS_SHOWN} more` : "";
  return `not all its files are of that version: ${shown}${more}`;
}

/** Files that are not what the container's own list says. What is missing may have been left out. */
function alteredFiles(root: Fd, list: Uint8Array): TreePath[] {
  let lines: ReturnType<typeof parseMd5sums>;
  try {
    lines = parseMd5sums(list);
  } catch (error) {
    if (error instanceof AtomfsError) return [];
    throw error;
  }
  return lines.flatMap(({ path: spelled, md5 }) => {
    const path = parseTreePath(spelled);
    if (path === undefined || isDocumentation(path)) return [];
    const bytes = readInRoot(root, path, MAX_FILE);
    if (bytes === undefined) return [];
    return createHash("md5").update(bytes).digest("hex") === md5 ? [] : [path];
  });
}

/** A regular file of the root's own mount; undefined for everything else: a volume's file may keep its reader waiting. */
function readInRoot(root: Fd, path: TreePath, maxBytes: number): Uint8Array | undefined {
  try {
    // Opening a pipe may wait, opening a device may do anything. A name only is harmless.
    using name = openInRoot(root, path, O_PATH);
    const stat = fstatSync(name.number);
    if (!stat.isFile() || stat.size > maxBytes || mountOf(name) !== mountOf(root)) return undefined;
    using file = new Fd(openSync(name.procPath, constants.O_RDONLY));
    const bytes = Buffer.alloc(stat.size);
    let done = 0;
    for (let got = -1; done < bytes.length && got !== 0; done += got)
      got = readSync(file.number, bytes, done, bytes.length - done, done);
    return bytes.subarray(0, done);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EIO")) return undefined;
    throw error;
  }
}
