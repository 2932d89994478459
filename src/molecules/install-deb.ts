import { createHash } from "node:crypto";
import {
  type DpkgDatabase,
  INFO_DIRECTORY,
  type InstalledDeb,
  infoFiles,
  infoPath,
  locate,
} from "../atoms/dpkg-database.ts";
import {
  type ByteString,
  baseName,
  fromText,
  parentPath,
  ROOT,
  type TreePath,
  toBytes,
} from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import {
  childrenByDirectory,
  EMPTY_XATTRS,
  type FileContent,
  type FileInode,
  type Inode,
  type Mtime,
  type MutableTree,
  type ReadObject,
  readContent,
  type Tree,
} from "../core/tree.ts";
import type { Atom, AtomEntry } from "../formats/atom/atom.ts";
import { type Paragraph, parseOneParagraph } from "../formats/dpkg/deb822.ts";
import { encodeFileList, parseConffileList, parseFileList } from "../formats/dpkg/lists.ts";
import { mergeConffiles, replaceStanza } from "../formats/dpkg/stanza.ts";
import { type Conffile, infoBaseName, type PackageRecord, parseFacts } from "../formats/dpkg/status.ts";
import { ownerOverride } from "./stat-override.ts";

/** An installed package and the paths of its atom: those that are as the package shipped them. */
export type InstalledAtom = InstalledDeb & { readonly owned: ReadonlySet<TreePath> };

/** Puts bytes where molecules find them; called only for what a composition generates. */
export type PutBytes = (bytes: Uint8Array) => FileContent;

export type InstallContext = {
  readonly database: DpkgDatabase;
  readonly isExcluded: (path: ByteString) => boolean;
  readonly readObject: ReadObject;
  readonly putBytes: PutBytes;
  /** The time of generated files. */
  readonly time: Mtime;
};

export type InstallOutcome = {
  /** The package's new stanza. */
  readonly record: PackageRecord;
  /** Paths of the package that the image changed after installing it: left as they are, so still vulnerable. */
  readonly shadowed: readonly TreePath[];
  /** Paths of the old version that the image does not have: not brought back. */
  readonly leftOut: readonly TreePath[];
  /** Edited configuration files: kept, the new ones stand beside them as `.dpkg-dist`. */
  readonly keptConffiles: readonly TreePath[];
  /** Paths that belong to another package: dpkg would refuse. */
  readonly conflicts: readonly { readonly path: TreePath; readonly owner: string }[];
};

/**
 * Replaces an installed package in a tree by a package file, as `dpkg -i` does: new files in, old ones out, directories
 * made and removed, conffiles kept if edited, info/ and the stanza as dpkg writes them. Maintainer scripts and triggers
 * are not run; whoever calls this has checked that they would change nothing (`scriptProblems`).
 * The stanza is returned, not written: a composition writes the status file once.
 */
export function installDeb(
  tree: MutableTree,
  old: InstalledAtom,
  deb: Atom,
  context: InstallContext,
): InstallOutcome {
  const control = controlParagraph(deb, context.readObject);
  const next = parseFacts(control);
  const at = (spelled: ByteString): TreePath | undefined =>
    locate(tree, spelled, next.package, context.database.diversions);
  const conffiles = newConffiles(deb, context.readObject);
  const plan = placeEntries(tree, old, deb, at, conffiles, context);
  removeOldFiles(tree, old, plan.paths);
  removeEmptyDirectories(tree, old, plan.paths, context.database);
  const merged = mergeConffiles(old.record.conffiles, conffiles, old.listed, (path) => {
    const located = at(path);
    return located !== undefined && tree.has(located);
  });
  replaceInfoFiles(tree, old, deb, infoBaseName(next), merged, context);
  const record = replaceStanza(old.record, {
    control,
    conffiles: merged,
    status: { want: "install", flag: "ok", state: "installed" },
  });
  return { record, ...plan.outcome };
}

/** @throws AtomfsError "bad-data" if the atom has no control file */
export function controlParagraph(deb: Atom, readObject: ReadObject): Paragraph {
  const control = controlMember(deb, "control", readObject);
  if (control === undefined) throw new AtomfsError("bad-data", "The package has no control file");
  return parseOneParagraph(control);
}

export function controlMember(deb: Atom, name: string, readObject: ReadObject): Uint8Array | undefined {
  const member = deb.control.find((each) => each.name === fromText(name));
  return member === undefined ? undefined : readContent(member.inode.content, readObject);
}

/** The conffiles that a package file ships, with the MD5 of what it ships. */
function newConffiles(deb: Atom, readObject: ReadObject): Conffile[] {
  const list = controlMember(deb, "conffiles", readObject);
  if (list === undefined) return [];
  const byPath = new Map(deb.entries.map((entry) => [entry.path as ByteString, entry.inode]));
  return parseConffileList(list).map(({ path, removeOnUpgrade }) => {
    const inode = byPath.get(path);
    const md5 = inode?.type === "file" ? md5Of(inode, readObject) : "newconffile";
    return { path, md5: md5 as ByteString, obsolete: false, removeOnUpgrade };
  });
}

function md5Of(inode: FileInode, readObject: ReadObject): string {
  return createHash("md5").update(readContent(inode.content, readObject)).digest("hex");
}

type Placement = { readonly paths: ReadonlySet<TreePath>; readonly outcome: Omit<InstallOutcome, "record"> };

/** Puts the package's entries into the tree, except where the image has something else that must stay. */
function placeEntries(
  tree: MutableTree,
  old: InstalledAtom,
  deb: Atom,
  at: (spelled: ByteString) => TreePath | undefined,
  conffiles: readonly Conffile[],
  context: InstallContext,
): Placement {
  const shadowed: TreePath[] = [];
  const leftOut: TreePath[] = [];
  const keptConffiles: TreePath[] = [];
  const conflicts: { path: TreePath; owner: string }[] = [];
  const paths = new Set<TreePath>();
  const conffileMd5 = new Map(conffiles.map((each) => [each.path, each.md5]));
  const inodes = new LinkedInodes();
  for (const entry of deb.entries) {
    if (entry.path === ROOT) continue;
    const path = at(entry.path);
    if (path === undefined) {
      conflicts.push({ path: entry.path, owner: "a file or symlink loop on the way" });
      continue;
    }
    paths.add(path);
    const existing = tree.get(path);
    if (entry.inode.type === "dir") {
      if (existing === undefined && !context.isExcluded(entry.path)) tree.set(path, entry.inode);
      else if (existing !== undefined && !leadsToDirectory(tree, path)) shadowed.push(path);
      continue;
    }
    const inode = ownerOverride(tree, entry.path, inodes.of(entry), context);
    if (existing === undefined) {
      if (old.paths.has(path)) leftOut.push(path);
      else if (!context.isExcluded(entry.path) && tree.get(parentPath(path))?.type === "dir")
        tree.set(path, inode);
      continue;
    }
    const md5 = conffileMd5.get(entry.path);
    if (md5 !== undefined && existing.type === "file") {
      const shipped = old.md5.get(path);
      if (old.owned.has(path) || md5Of(existing, context.readObject) === md5)
        tree.set(path, keepAttributes(existing, inode));
      else if (shipped !== md5) {
        keptConffiles.push(path);
        tree.set(`${path}.dpkg-dist` as TreePath, inode);
      }
      continue;
    }
    if (old.owned.has(path)) tree.set(path, inode);
    else {
      const other = old.paths.has(path) ? undefined : ownerOf(path, old, context.database);
      if (other === undefined) shadowed.push(path);
      else conflicts.push({ path, owner: other });
    }
  }
  return { paths, outcome: { shadowed, leftOut, keptConffiles, conflicts } };
}

/** dpkg gives a replaced conffile the owner and mode of the one that was there. */
function keepAttributes(existing: FileInode, inode: Inode): Inode {
  return { ...inode, mode: existing.mode, uid: existing.uid, gid: existing.gid };
}

function ownerOf(path: TreePath, self: InstalledAtom, database: DpkgDatabase): string | undefined {
  for (const [key, deb] of database.installed) {
    if (deb.infoBase !== self.infoBase && deb.paths.has(path)) return key;
  }
  return undefined;
}

function leadsToDirectory(tree: Tree, path: TreePath): boolean {
  const type = tree.get(path)?.type;
  return type === "dir" || type === "symlink";
}

/** Inodes of an atom's entries, one object for each hard-link group. */
class LinkedInodes {
  readonly #groups = new Map<ByteString, Inode>();

  of(entry: AtomEntry): Inode {
    if (entry.link === undefined) return entry.inode;
    const known = this.#groups.get(entry.link);
    if (known !== undefined) return known;
    this.#groups.set(entry.link, entry.inode);
    return entry.inode;
  }
}

/** Files of the old version that the new one lacks: out, unless they are conffiles or the image changed them. */
function removeOldFiles(tree: MutableTree, old: InstalledAtom, kept: ReadonlySet<TreePath>): void {
  const conffiles = new Set<string>(old.record.conffiles.map((each) => each.path));
  for (const path of old.owned) {
    if (old.paths.has(path) && !kept.has(path) && !conffiles.has(path)) tree.delete(path);
  }
}

function removeEmptyDirectories(
  tree: MutableTree,
  old: InstalledAtom,
  kept: ReadonlySet<TreePath>,
  database: DpkgDatabase,
): void {
  const children = childrenByDirectory(tree);
  const gone = [...old.paths].filter((path) => !kept.has(path) && tree.get(path)?.type === "dir");
  for (const path of gone.sort().reverse()) {
    const names = children.get(path) ?? [];
    if (names.length > 0 || ownerOf(path, old, database) !== undefined) continue;
    tree.delete(path);
    const siblings = children.get(parentPath(path));
    siblings?.splice(siblings.indexOf(baseName(path)), 1);
  }
}

function replaceInfoFiles(
  tree: MutableTree,
  old: InstalledAtom,
  deb: Atom,
  infoBase: ByteString,
  conffiles: readonly Conffile[],
  context: InstallContext,
): void {
  const names = childrenByDirectory(tree).get(INFO_DIRECTORY) ?? [];
  for (const path of infoFiles(tree, old.infoBase, names)) tree.delete(path);
  for (const { name, inode } of deb.control) {
    if (name === "control" || name === "list" || name.includes(".")) continue;
    tree.set(infoPath(infoBase, name), { ...inode, uid: 0, gid: 0 });
  }
  const shipped = controlMember(deb, "list", context.readObject);
  if (shipped === undefined) throw new AtomfsError("bad-data", "The package's atom has no file list");
  const obsolete = conffiles.filter((each) => each.obsolete).map((each) => each.path);
  const list = encodeFileList([...parseFileList(shipped), ...obsolete]);
  tree.set(infoPath(infoBase, "list"), generatedFile(list, context));
}

/** A regular file that a composition makes: root's, 0644, with the time of the newest atom. */
export function generatedFile(
  text: ByteString,
  context: Pick<InstallContext, "putBytes" | "time">,
): FileInode {
  return {
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: context.time,
    xattrs: EMPTY_XATTRS,
    content: context.putBytes(toBytes(text)),
  };
}
