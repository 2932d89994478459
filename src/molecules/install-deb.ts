import { INFO_DIRECTORY, infoFiles, infoPath, locate } from "../atoms/dpkg-database.ts";
import { type ByteString, fromText, type TreePath, toBytes } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import {
  childrenByDirectory,
  EMPTY_XATTRS,
  type FileInode,
  type MutableTree,
  type ReadObject,
  readContent,
} from "../core/tree.ts";
import type { Atom } from "../formats/atom/atom.ts";
import { type Paragraph, parseOneParagraph } from "../formats/dpkg/deb822.ts";
import {
  encodeFileList,
  encodeMd5sums,
  type Md5Line,
  parseConffileList,
  parseFileList,
} from "../formats/dpkg/lists.ts";
import { mergeConffiles, replaceStanza } from "../formats/dpkg/stanza.ts";
import { type Conffile, infoBaseName, type PackageRecord, parseFacts } from "../formats/dpkg/status.ts";
import { type Installation, type InstallContext, type InstalledAtom, md5Of } from "./installation.ts";
import { placeEntries } from "./place-entries.ts";
import { removeOldPaths } from "./remove-old.ts";

export type InstallOutcome = {
  /** The package's new stanza. */
  readonly record: PackageRecord;
  /** Paths of the package that the image changed after installing it: left as they are, so still vulnerable. */
  readonly shadowed: readonly TreePath[];
  /** Paths of the old version that the image does not have: not brought back. */
  readonly leftOut: readonly TreePath[];
  /** Edited or removed configuration files: kept so, the new ones stand beside them as `.dpkg-dist`. */
  readonly keptConffiles: readonly TreePath[];
  /** Paths that belong to another package, or that the image has no place for: dpkg would refuse. */
  readonly conflicts: readonly { readonly path: TreePath; readonly owner: string }[];
};

/**
 * Replaces an installed package in a tree by a package file, as `dpkg -i` does: new files in, old ones out, directories
 * made and removed, conffiles kept if edited, info/ and the stanza as dpkg writes them. Maintainer scripts and triggers
 * are not run; whoever calls this has checked that they would change nothing (`scriptProblems`).
 * The stanza is returned, not written: a composition writes the status file once.
 * @throws AtomfsError "bad-data" for an atom that isn't of a package file
 */
export function installDeb(
  tree: MutableTree,
  old: InstalledAtom,
  deb: Atom,
  context: InstallContext,
): InstallOutcome {
  const control = controlParagraph(deb, context.readObject);
  const next = parseFacts(control);
  const install: Installation = {
    ...{ tree, old, deb, context },
    at: (spelled) => locate(tree, spelled, next.package, context.database.diversions),
    paths: new Set(),
    shadowed: [],
    leftOut: [],
    keptConffiles: [],
    conflicts: [],
  };
  const conffiles = placeEntries(install, shippedConffiles(deb, context.readObject));
  removeOldPaths(install);
  const merged = mergeConffiles(old.record.conffiles, conffiles, old.listed, (path) => {
    const located = install.at(path);
    return located !== undefined && tree.has(located) && !install.paths.has(located);
  });
  replaceInfoFiles(install, infoBaseName(next), merged);
  const record = replaceStanza(old.record, {
    control,
    conffiles: merged,
    status: { want: "install", flag: "ok", state: "installed" },
  });
  const { shadowed, leftOut, keptConffiles, conflicts } = install;
  return { record, shadowed, leftOut, keptConffiles, conflicts };
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

/** The conffiles that a package file ships, with the MD5 of what it ships; of those that it wants away, "". */
function shippedConffiles(deb: Atom, readObject: ReadObject): Conffile[] {
  const list = controlMember(deb, "conffiles", readObject);
  if (list === undefined) return [];
  const byPath = new Map(deb.entries.map((entry) => [entry.path as ByteString, entry.inode]));
  return parseConffileList(list).map(({ path, removeOnUpgrade }) => {
    const inode = byPath.get(path);
    const md5 = inode?.type === "file" ? md5Of(inode.content, readObject) : ("" as ByteString);
    return { path, md5, obsolete: false, removeOnUpgrade };
  });
}

/** info/PKG.*: the package's own members, and those two that dpkg makes. */
function replaceInfoFiles(install: Installation, infoBase: ByteString, conffiles: readonly Conffile[]): void {
  const { tree, old, deb, context } = install;
  const names = childrenByDirectory(tree).get(INFO_DIRECTORY) ?? [];
  for (const path of infoFiles(tree, old.infoBase, names)) tree.delete(path);
  for (const { name, inode } of deb.control) {
    if (name === "control" || name === "list" || name.includes(".")) continue;
    tree.set(infoPath(infoBase, name), { ...inode, uid: 0, gid: 0 });
  }
  const shipped = controlMember(deb, "list", context.readObject);
  if (shipped === undefined) throw new AtomfsError("bad-data", "The package's atom has no file list");
  const listed = parseFileList(shipped);
  const obsolete = conffiles.filter((each) => each.obsolete).map((each) => each.path);
  const list = encodeFileList([...listed, ...obsolete]);
  tree.set(infoPath(infoBase, "list"), generatedFile(list, context));
  if (!deb.control.some((member) => member.name === fromText("md5sums"))) {
    const sums = encodeMd5sums(unpackedSums(install, listed));
    tree.set(infoPath(infoBase, "md5sums"), generatedFile(sums, context));
  }
}

/** The digests that dpkg notes for a package that comes without: of the files that it unpacks, in the archive's order. */
function unpackedSums({ deb, context }: Installation, listed: readonly ByteString[]): Md5Line[] {
  const byPath = new Map(deb.entries.map((entry) => [entry.path as ByteString, entry.inode]));
  return listed.flatMap((spelled) => {
    const inode = byPath.get(spelled);
    if (inode?.type !== "file" || context.isExcluded(spelled, "file")) return [];
    return [{ path: spelled.slice(1) as ByteString, md5: md5Of(inode.content, context.readObject) }];
  });
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
