import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { infoPath, packageKey, readTreeFile, STATUS_PATH } from "../atoms/dpkg-database.ts";
import { displayText, parseTreePath, type TreePath } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import type { ReadObject, Tree } from "../core/tree.ts";
import { parseMd5sums } from "../formats/dpkg/lists.ts";
import { infoBaseName, type PackageRecord, parseStatus } from "../formats/dpkg/status.ts";
import type { Store } from "../store/store.ts";
import type { Fd } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";
import { openFileInRoot, type RootFile, readStart, UNREADABLE } from "../sys/root-files.ts";
import { isDocumentation } from "./checks.ts";
import { type MoleculeTrees, mountOf, openRoot, type RootState } from "./container-root.ts";

/** Of a status file; Debian's largest installations have some megabytes. */
const MAX_STATUS = 64 << 20;
/** Of a package's list; those of Debian's largest packages have some megabytes. */
const MAX_LIST = 16 << 20;
/** Of a file that is measured. */
const MAX_FILE = 256 << 20;
/** What is read of one container in all, in bytes: it may name as many packages and files as it likes, and sparse files cost it nothing. */
const MAX_READ = 512 << 20;
/** What looking for a file counts as, in bytes, whether it is there or not. */
const COST_OF_LOOK = 4096;
const CHUNK = 1 << 20;
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
  const container = new ContainerFiles(root);
  const theirs = container.read(STATUS_PATH, MAX_STATUS);
  if (theirs === undefined || Buffer.compare(ours, theirs) === 0) return [];
  const claims = claimsOf(theirs);
  if (claims === undefined) return ["the container's package database cannot be read"];
  return parseStatus(ours).flatMap((record) => {
    const claimed = claims.get(keyOf(record));
    if (claimed === undefined || claimed.version === record.version) return [];
    const why = disagreement(container, tree, readObject, record);
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
  container: ContainerFiles,
  tree: Tree,
  readObject: ReadObject,
  record: PackageRecord,
): string | undefined {
  const path = infoPath(infoBaseName(record), "md5sums");
  const ours = readTreeFile(tree, path, readObject);
  const theirs = container.read(path, MAX_LIST);
  if (theirs === undefined) return container.isSpent ? TOO_MUCH : undefined;
  if (ours !== undefined && Buffer.compare(ours, theirs) === 0)
    return `its files are those of ${record.version}`;
  const altered = alteredFiles(container, theirs);
  if (altered.length === 0) return container.isSpent ? TOO_MUCH : undefined;
  const shown = altered.slice(0, PATHS_SHOWN).map(displayText).join(", ");
  const more = altered.length > PATHS_SHOWN ? " and others" : "";
  return `not all its files are of that version: ${shown}${more}`;
}

const TOO_MUCH = "not all its files were compared: the container's package database names too much";

/** Files that are not what the container's own list says, at most one more than are shown. What is missing may have been left out. */
function alteredFiles(container: ContainerFiles, list: Uint8Array): TreePath[] {
  let lines: ReturnType<typeof parseMd5sums>;
  try {
    lines = parseMd5sums(list);
  } catch (error) {
    if (error instanceof AtomfsError) return [];
    throw error;
  }
  const altered: TreePath[] = [];
  const seen = new Set<TreePath>();
  for (const { path: spelled, md5 } of lines) {
    const path = parseTreePath(spelled);
    if (path === undefined || isDocumentation(path) || seen.has(path)) continue;
    seen.add(path);
    const found = container.md5Of(path);
    if (found !== undefined && found !== md5) altered.push(path);
    if (altered.length > PATHS_SHOWN || container.isSpent) break;
  }
  return altered;
}

/** Regular files of the root's own mount, until too much was read. */
class ContainerFiles {
  readonly #root: Fd;
  #left = MAX_READ;

  constructor(root: Fd) {
    this.#root = root;
  }

  /** Nothing more is read. */
  get isSpent(): boolean {
    return this.#left <= 0;
  }

  /** The whole file; undefined for everything else: a volume's file may keep its reader waiting. */
  read(path: TreePath, maxBytes: number): Uint8Array | undefined {
    return this.#open(path, maxBytes, (file) => readStart(file, maxBytes));
  }

  md5Of(path: TreePath): string | undefined {
    return this.#open(path, MAX_FILE, ({ fd, size }) => {
      const hash = createHash("md5");
      const chunk = Buffer.allocUnsafe(Math.min(size, CHUNK));
      for (let at = 0, got = -1; at < size && got !== 0; at += got) {
        got = readSync(fd.number, chunk, 0, Math.min(chunk.length, size - at), at);
        hash.update(chunk.subarray(0, got));
      }
      return hash.digest("hex");
    });
  }

  #open<T>(path: TreePath, maxBytes: number, use: (file: RootFile) => T): T | undefined {
    if (this.isSpent) return undefined;
    this.#left -= COST_OF_LOOK;
    try {
      const file = openFileInRoot(this.#root, path, (name, size) => {
        if (size > maxBytes || mountOf(name) !== mountOf(this.#root)) return false;
        this.#left -= size;
        return !this.isSpent;
      });
      if (file === undefined) return undefined;
      using _fd = file.fd;
      return use(file);
    } catch (error) {
      if (hasCode(error, ...UNREADABLE)) return undefined;
      throw error;
    }
  }
}
