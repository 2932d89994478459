import {
  type ByteString,
  fromText,
  joinPath,
  parseTreePath,
  ROOT,
  type TreePath,
  treePath,
} from "../core/bytestring.ts";
import { pathResolver, resolvePath } from "../core/resolve.ts";
import { type ReadObject, readContent, type Tree } from "../core/tree.ts";
import type { DebIdentity } from "../formats/atom/atom.ts";
import {
  type Diversion,
  type FileTrigger,
  parseDiversions,
  parseFileList,
  parseFileTriggers,
  parseMd5sums,
  parseStatOverrides,
  type StatOverride,
} from "../formats/dpkg/lists.ts";
import { infoBaseName, type PackageRecord, parseStatus } from "../formats/dpkg/status.ts";

export const STATUS_PATH: TreePath = treePath("/var/lib/dpkg/status");
export const INFO_DIRECTORY: TreePath = treePath("/var/lib/dpkg/info");

/** One installed package, with its paths as they are in the tree (directories' symlinks followed, diversions applied). */
export type InstalledDeb = {
  readonly record: PackageRecord;
  /** "libc6:amd64" or "bash": how the files in info/ start. */
  readonly infoBase: ByteString;
  /** What `info/PKG.list` says, as spelled there. */
  readonly listed: readonly ByteString[];
  /** The same where they are in the tree, without the root. */
  readonly paths: ReadonlySet<TreePath>;
  /** Those that must be directories to the package, because it lists something in them. */
  readonly directories: ReadonlySet<TreePath>;
  /** MD5 (hex) that the package shipped, by path in the tree: regular files, unedited conffiles too. */
  readonly md5: ReadonlyMap<TreePath, ByteString>;
};

export type DpkgDatabase = {
  readonly records: readonly PackageRecord[];
  /** Those whose files are there, by "name:architecture". */
  readonly installed: ReadonlyMap<string, InstalledDeb>;
  readonly diversions: readonly Diversion[];
  readonly overrides: readonly StatOverride[];
  readonly fileTriggers: readonly FileTrigger[];
};

export function packageKey(identity: { readonly name: string; readonly architecture: string }): string {
  return `${identity.name}:${identity.architecture}`;
}

export function debIdentity(record: PackageRecord): DebIdentity {
  return {
    name: record.package,
    architecture: record.architecture,
    version: record.version,
    source: record.source.name,
    sourceVersion: record.source.version,
  };
}

/** Bytes of a regular file of the tree; undefined if the path is absent or something else. */
export function readTreeFile(tree: Tree, path: TreePath, readObject: ReadObject): Uint8Array | undefined {
  const inode = tree.get(path);
  return inode?.type === "file" ? readContent(inode.content, readObject) : undefined;
}

/**
 * Where a path that a package names is in the tree: diverted unless the package diverts it itself, usrmerge followed.
 * @param resolve a `pathResolver` of the tree, for callers with many paths
 */
export function locate(
  tree: Tree,
  spelled: ByteString,
  owner: ByteString,
  diversions: readonly Diversion[],
  resolve: (path: TreePath) => TreePath | undefined = (path) => resolvePath(tree, path, false),
): TreePath | undefined {
  const diverted = diversions.find((each) => each.from === spelled && each.package !== owner)?.to ?? spelled;
  const path = parseTreePath(diverted);
  return path === undefined ? undefined : resolve(path);
}

/** Reads the package database of a tree; undefined for a tree without dpkg. @throws AtomfsError "bad-data" */
export function readDpkgDatabase(tree: Tree, readObject: ReadObject): DpkgDatabase | undefined {
  const status = readTreeFile(tree, STATUS_PATH, readObject);
  if (status === undefined) return undefined;
  const file = (path: string): Uint8Array =>
    readTreeFile(tree, treePath(path), readObject) ?? new Uint8Array();
  const records = parseStatus(status);
  const diversions = parseDiversions(file("/var/lib/dpkg/diversions"));
  const installed = new Map<string, InstalledDeb>();
  const resolve = pathResolver(tree);
  for (const record of records) {
    if (record.status.state === "not-installed" || record.status.state === "config-files") continue;
    const deb = readInstalled(tree, readObject, record, diversions, resolve);
    installed.set(packageKey({ name: record.package, architecture: record.architecture }), deb);
  }
  return {
    records,
    installed,
    diversions,
    overrides: parseStatOverrides(file("/var/lib/dpkg/statoverride")),
    fileTriggers: parseFileTriggers(file("/var/lib/dpkg/triggers/File")),
  };
}

function readInstalled(
  tree: Tree,
  readObject: ReadObject,
  record: PackageRecord,
  diversions: readonly Diversion[],
  resolve: (path: TreePath) => TreePath | undefined,
): InstalledDeb {
  const infoBase = infoBaseName(record);
  const info = (member: string): Uint8Array =>
    readTreeFile(tree, infoPath(infoBase, member), readObject) ?? new Uint8Array();
  const at = (spelled: ByteString): TreePath | undefined =>
    locate(tree, spelled, record.package, diversions, resolve);
  const listed = parseFileList(info("list"));
  const paths = new Set<TreePath>();
  const directories = new Set<TreePath>();
  const parents = new Set(listed.map((spelled) => spelled.slice(0, spelled.lastIndexOf("/"))));
  for (const spelled of listed) {
    const path = at(spelled);
    if (path === undefined || path === ROOT) continue;
    paths.add(path);
    if (parents.has(spelled)) directories.add(path);
  }
  const md5 = new Map<TreePath, ByteString>();
  for (const line of parseMd5sums(info("md5sums"))) {
    const path = at(`/${line.path}` as ByteString);
    if (path !== undefined) md5.set(path, line.md5);
  }
  for (const conffile of record.conffiles) {
    const path = at(conffile.path);
    if (path !== undefined) md5.set(path, conffile.md5);
  }
  return { record, infoBase, listed, paths, directories, md5 };
}

export function infoPath(infoBase: ByteString, member: string): TreePath {
  return joinPath(INFO_DIRECTORY, `${infoBase}.${fromText(member)}` as ByteString);
}

/** The files of a package in info/: `libc6:amd64.list`, `.md5sums`, `.postinst` ... */
export function infoFiles(tree: Tree, infoBase: ByteString, infoNames: readonly ByteString[]): TreePath[] {
  const start = `${infoBase}.`;
  return infoNames
    .filter((name) => name.startsWith(start) && !name.slice(start.length).includes("."))
    .map((name) => joinPath(INFO_DIRECTORY, name))
    .filter((path) => tree.get(path)?.type === "file");
}
