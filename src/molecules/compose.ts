import { type DpkgDatabase, packageKey, readDpkgDatabase, STATUS_PATH } from "../atoms/dpkg-database.ts";
import { joinAtoms } from "../atoms/join.ts";
import { type TreePath, treePath } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import {
  compareMtime,
  type FileContent,
  type Mtime,
  type MutableTree,
  type ReadObject,
  type Tree,
} from "../core/tree.ts";
import type { Atom } from "../formats/atom/atom.ts";
import { parseTriggers } from "../formats/dpkg/lists.ts";
import { encodeStatus, type PackageRecord } from "../formats/dpkg/status.ts";
import type { ElfInfo } from "../formats/elf/elf.ts";
import { pathExcluder } from "./dpkg-config.ts";
import { controlMember, generatedFile, type InstallOutcome, installDeb } from "./install-deb.ts";
import { atomKey, type InstallContext, ownersAfter, type PutBytes } from "./installation.ts";
import { buildLdCache } from "./ldconfig.ts";

/**
 * The number of the compose rules. It rises with every change after which the same image and the same fixes would give
 * other bytes; each generation holds the number that made it.
 */
export const COMPOSER_VERSION = 1;

const LD_CACHE: TreePath = treePath("/etc/ld.so.cache");

export type ComposeContext = {
  readonly readObject: ReadObject;
  readonly putBytes: PutBytes;
  readonly elfOf: (content: FileContent) => ElfInfo | undefined;
};

export type Composition = {
  /** The image's own tree, and what its package database says; undefined for an image without dpkg. */
  readonly image: Tree;
  readonly database: DpkgDatabase | undefined;
  readonly tree: Tree;
  /** By "name:architecture", for each package that was replaced. */
  readonly outcomes: ReadonlyMap<string, InstallOutcome>;
  /** The stanzas of the composed tree's package database. */
  readonly records: readonly PackageRecord[];
};

/**
 * compose(image, fixes): the tree that a container gets. `replacements` are atoms of package files; each replaces the
 * installed package of its name and architecture. Without any, this is exactly the image's tree.
 */
export function compose(
  atoms: readonly Atom[],
  replacements: readonly Atom[],
  context: ComposeContext,
): Composition {
  const image = joinAtoms(atoms);
  const database = readDpkgDatabase(image, context.readObject);
  if (replacements.length === 0) {
    return { image, database, tree: image, outcomes: new Map(), records: database?.records ?? [] };
  }
  if (database === undefined) throw new AtomfsError("bad-data", "The image has no package database to fix");
  const tree = new Map(image);
  const install: InstallContext = {
    database,
    isExcluded: pathExcluder(image, context.readObject),
    readObject: context.readObject,
    putBytes: context.putBytes,
    time: newestTime(replacements),
    owners: ownersAfter(image, database, replacements),
    packaged: packagedPaths(atoms),
  };
  const outcomes = new Map<string, InstallOutcome>();
  for (const deb of replacements) {
    const key = atomKey(deb);
    const old = database.installed.get(key);
    if (old === undefined) throw new AtomfsError("bad-data", `The image has no package ${key}`);
    const owned = old.paths.intersection(install.packaged);
    outcomes.set(key, installDeb(tree, { ...old, owned }, deb, install));
  }
  const records = writeStatus(tree, database, outcomes, install);
  if (replacements.some((deb) => activatesLdconfig(deb, context.readObject)))
    refreshLdCache(tree, context, install);
  return { image, database, tree, outcomes, records };
}

/** What is as a package shipped it. Of packages that share a file one has it, but it is packaged for all. */
function packagedPaths(atoms: readonly Atom[]): Set<TreePath> {
  const packaged = new Set<TreePath>();
  for (const { origin, entries } of atoms) {
    if (origin.kind !== "layer") for (const entry of entries) packaged.add(entry.path);
  }
  return packaged;
}

/** Generated files get the time of the newest thing that a fix brings, never the clock's. */
function newestTime(replacements: readonly Atom[]): Mtime {
  let newest: Mtime = { sec: 0, nsec: 0 };
  for (const { entries } of replacements) {
    for (const { inode } of entries) if (compareMtime(inode.mtime, newest) > 0) newest = inode.mtime;
  }
  return newest;
}

function writeStatus(
  tree: MutableTree,
  database: DpkgDatabase,
  outcomes: ReadonlyMap<string, InstallOutcome>,
  install: InstallContext,
): PackageRecord[] {
  const records = database.records.map((record) => {
    const key = packageKey({ name: record.package, architecture: record.architecture });
    return outcomes.get(key)?.record ?? record;
  });
  tree.set(STATUS_PATH, generatedFile(encodeStatus(records), install));
  return records;
}

function activatesLdconfig(deb: Atom, readObject: ReadObject): boolean {
  const triggers = controlMember(deb, "triggers", readObject);
  return (
    triggers !== undefined &&
    parseTriggers(triggers).some(
      (line) => line.kind === "activate" && (line.trigger as string) === "ldconfig",
    )
  );
}

/** What libc-bin's trigger does. An image without libc-bin's trigger, or without a cache, has nobody who would. */
function refreshLdCache(tree: MutableTree, context: ComposeContext, install: InstallContext): void {
  const interested = tree.get(treePath("/var/lib/dpkg/triggers/ldconfig"));
  const present = tree.get(LD_CACHE);
  if (interested === undefined || present?.type !== "file") return;
  const bytes = buildLdCache(tree, context.readObject, context.elfOf);
  tree.set(LD_CACHE, { ...present, mtime: install.time, content: context.putBytes(bytes) });
}
