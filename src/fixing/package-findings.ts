import {
  type DpkgDatabase,
  INFO_DIRECTORY,
  type InstalledDeb,
  locate,
  packageKey,
  readDpkgDatabase,
} from "../atoms/dpkg-database.ts";
import { joinAtoms } from "../atoms/join.ts";
import { displayText, fromText, type TreePath } from "../core/bytestring.ts";
import type { Sha256 } from "../core/digest.ts";
import { type FileContent, readContent, type Tree } from "../core/tree.ts";
import type { Atom } from "../formats/atom/atom.ts";
import { parseMd5sums } from "../formats/dpkg/lists.ts";
import { isNewer } from "../molecules/fix-matching.ts";
import type { PackageRow } from "../store/catalog.ts";
import type { FixRule, ImageRecord } from "../store/records.ts";
import { namesOf } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { isDocumentation } from "./checks.ts";

/** A package of an image whose version in the package database cannot be believed. */
export type PackageFinding = {
  readonly package: string;
  readonly architecture: string;
  /** What the package database says. */
  readonly version: string;
  /** One sentence. */
  readonly reason: string;
};

export type PackageFindingOptions = {
  /** Binary packages to look at; default: all. */
  readonly only?: ReadonlySet<string>;
  /** Fixes that the store does not have yet. */
  readonly rules?: readonly FixRule[];
  /** Of the unfixed image, if they are at hand. */
  readonly known?: { readonly tree: Tree; readonly database: DpkgDatabase | undefined };
};

/**
 * Packages whose database version and files disagree, as in an image that was committed from a container which had a fix
 * under it: the database is the container's, the files are the image's. Three signs, each enough:
 * a fix brings this very version with another list of files; another image has an older version with this very list;
 * a file is not the one that the list has the MD5 of. For the second the list must have the changelog, which no two
 * versions share. Edited conffiles and documentation are no sign, nor is what was left out.
 */
export function packageFindings(
  store: Store,
  image: ImageRecord,
  options: PackageFindingOptions = {},
): PackageFinding[] {
  const rules = [...store.state.fixes.values(), ...(options.rules ?? [])];
  const rows = store.catalog
    .packagesOfImage(image.config)
    .filter(({ name }) => options.only === undefined || options.only.has(name));
  const found: PackageFinding[] = [];
  const suspects: PackageRow[] = [];
  for (const row of rows) {
    const atom = store.readAtom(row.atom);
    const list = listOfFiles(store, atom);
    if (list === undefined) continue;
    const reason =
      notOfThisVersion(store, image, row, list, rules) ??
      (list.hasChangelog ? ofAnotherVersion(store, image, row, list) : undefined);
    if (reason !== undefined) found.push(finding(row, reason));
    else if (lacksListed(atom, list)) suspects.push(row);
  }
  if (suspects.length === 0) return found;
  const { tree, database } = options.known ?? readImage(store, image);
  return [...found, ...alteredPackages(store, image, tree, database, suspects)];
}

function finding({ name, architecture, version }: PackageRow, reason: string): PackageFinding {
  const shown = `${packageKey({ name, architecture })} is ${version} to the package database, but ${reason}`;
  return { package: name, architecture, version, reason: shown };
}

type FileList = {
  /** Equal for equal bytes. */
  readonly key: string;
  readonly lines: ReturnType<typeof parseMd5sums>;
  readonly hasChangelog: boolean;
};

const MD5SUMS = ".md5sums";
/** Debian's own, which names the version; beside it there may be one of upstream. */
const CHANGELOG = /^usr\/share\/doc\/[^/]+\/changelog(\.Debian)?(\.gz)?$/;

/** The MD5 sums that a package came with, out of its own atom; undefined if it has none. */
function listOfFiles(store: Store, atom: Atom): FileList | undefined {
  const content = md5sumsContent(atom);
  if (content === undefined) return undefined;
  const lines = parseMd5sums(readContent(content, (digest) => store.readObject(digest)));
  if (lines.length === 0) return undefined;
  return { key: contentKey(content), lines, hasChangelog: lines.some(({ path }) => CHANGELOG.test(path)) };
}

function md5sumsContent(atom: Atom): FileContent | undefined {
  const inode =
    atom.origin.kind === "deb"
      ? atom.control.find(({ name }) => name === fromText("md5sums"))?.inode
      : atom.entries.find(({ path }) => path.startsWith(`${INFO_DIRECTORY}/`) && path.endsWith(MD5SUMS))
          ?.inode;
  return inode?.type === "file" ? inode.content : undefined;
}

function contentKey(content: FileContent): string {
  return content.kind === "object" ? content.digest : `inline ${content.bytes}`;
}

function notOfThisVersion(
  store: Store,
  image: ImageRecord,
  row: PackageRow,
  list: FileList,
  rules: readonly FixRule[],
): string | undefined {
  for (const rule of rules) {
    if (rule.distribution.id !== image.distribution.id) continue;
    for (const each of rule.replacements) {
      if (each.package !== row.name || each.architecture !== row.architecture) continue;
      if (each.version !== row.version) continue;
      const content = md5sumsContent(store.readAtom(each.atom));
      if (content !== undefined && contentKey(content) !== list.key)
        return `its files are not those of the ${each.version} of ${rule.provenance}`;
    }
  }
  return undefined;
}

/** Of two that claim another version with the same files, the higher claim is the one that must not be believed. */
function ofAnotherVersion(
  store: Store,
  image: ImageRecord,
  row: PackageRow,
  list: FileList,
): string | undefined {
  const seen = new Set<Sha256>([row.atom]);
  for (const other of store.catalog.packagesNamed(row.name)) {
    if (other.architecture !== row.architecture || !isNewer(row.version, other.version)) continue;
    if (seen.has(other.atom)) continue;
    seen.add(other.atom);
    const record = store.state.images.get(other.config);
    if (record === undefined || record.distribution.id !== image.distribution.id) continue;
    const content = md5sumsContent(store.readAtom(other.atom));
    if (content === undefined || contentKey(content) !== list.key) continue;
    const where = namesOf(store.state, other.config)[0] ?? other.config.slice(0, 12);
    return `its files are those of ${other.version}, as in ${where}`;
  }
  return undefined;
}

/** Is a listed file not in the package's atom? With merged /usr the list may spell it without. */
function lacksListed(atom: Atom, { lines }: FileList): boolean {
  const own = new Set<string>(atom.entries.map(({ path }) => path));
  return lines.some(({ path }) => {
    const spelled = [`/${path}`, `/usr/${path}`];
    return spelled.every((each) => !own.has(each) && !isDocumentation(each));
  });
}

function readImage(
  store: Store,
  image: ImageRecord,
): { readonly tree: Tree; readonly database: DpkgDatabase | undefined } {
  const tree = joinAtoms(image.atoms.map((id) => store.readAtom(id)));
  return { tree, database: readDpkgDatabase(tree, (digest) => store.readObject(digest)) };
}

const PATHS_SHOWN = 3;

function alteredPackages(
  store: Store,
  image: ImageRecord,
  tree: Tree,
  database: DpkgDatabase | undefined,
  suspects: readonly PackageRow[],
): PackageFinding[] {
  if (database === undefined) return [];
  // A file is its owner's as it was shipped, also if another package lists it, too.
  const asShipped = new Set<TreePath>();
  for (const { atom } of store.catalog.packagesOfImage(image.config))
    for (const { path } of store.readAtom(atom).entries) asShipped.add(path);
  return suspects.flatMap((row) => {
    const deb = database.installed.get(packageKey(row));
    const altered = deb === undefined ? [] : alteredFiles(tree, database, deb, asShipped);
    if (altered.length === 0) return [];
    const shown = altered.slice(0, PATHS_SHOWN).map(displayText).join(", ");
    const more = altered.length > PATHS_SHOWN ? ` and ${altered.length - PATHS_SHOWN} more` : "";
    return [finding(row, `not all its files are what it shipped: ${shown}${more}`)];
  });
}

function alteredFiles(
  tree: Tree,
  database: DpkgDatabase,
  deb: InstalledDeb,
  asShipped: ReadonlySet<TreePath>,
): TreePath[] {
  const conffiles = new Set(
    deb.record.conffiles.map(({ path }) => locate(tree, path, deb.record.package, database.diversions)),
  );
  return [...deb.md5.keys()].filter(
    (path) =>
      tree.has(path) &&
      deb.paths.has(path) &&
      !asShipped.has(path) &&
      !conffiles.has(path) &&
      !isDocumentation(path),
  );
}
