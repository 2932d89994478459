import { type ByteString, parentPath, ROOT, type TreePath } from "../core/bytestring.ts";
import { resolvePath } from "../core/resolve.ts";
import { type Inode, type MutableTree, sameInode } from "../core/tree.ts";
import type { AtomEntry } from "../formats/atom/atom.ts";
import type { Conffile } from "../formats/dpkg/status.ts";
import { type Installation, otherOwner } from "./installation.ts";
import { placeConffile, removeConffile } from "./place-conffile.ts";
import { ownerOverride } from "./stat-override.ts";

/** dpkg takes these away from beside every file that it unpacks: an upgrade that was cut off left them. */
const LEFTOVER_SUFFIXES = [".dpkg-new", ".dpkg-tmp"];

/**
 * Puts the package's entries into the tree, except where the image has something else that must stay
 * (dpkg 1.21, src/main/archives.c: tarobject).
 * @returns the conffiles as the database then has them
 */
export function placeEntries(install: Installation, conffiles: readonly Conffile[]): Conffile[] {
  const decided = new Map(conffiles.map((each) => [each.path, each]));
  const links = new LinkedInodes();
  /** Directories of the old version that the image lacks: made only if something is put into them. */
  const wanted = new Map<TreePath, Inode>();
  for (const entry of install.deb.entries) {
    if (entry.path === ROOT) continue;
    const path = install.at(entry.path);
    if (path === undefined) {
      install.conflicts.push({ path: entry.path, owner: "a file or symlink loop on the way" });
      continue;
    }
    install.paths.add(path);
    if (install.context.isExcluded(entry.path, entry.inode.type)) continue;
    const overridden = ownerOverride(install.tree, entry.path, links.of(entry), install.context);
    if (overridden.type === "dir") {
      placeDirectory(install, path, overridden, wanted);
      continue;
    }
    if (overridden.type === "symlink" && staysDirectory(install.tree, path, overridden.target)) continue;
    for (const suffix of LEFTOVER_SUFFIXES) removeAll(install.tree, `${path}${suffix}` as TreePath);
    const conffile = decided.get(entry.path);
    if (conffile !== undefined && overridden.type === "file") {
      if (hasParent(install, path, wanted))
        decided.set(entry.path, placeConffile(install, path, overridden, conffile));
    } else placeFile(install, path, overridden, wanted);
  }
  return [...decided.values()].map((each) => (each.removeOnUpgrade ? removeConffile(install, each) : each));
}

function placeDirectory(
  install: Installation,
  path: TreePath,
  inode: Inode,
  wanted: Map<TreePath, Inode>,
): void {
  const { tree, old } = install;
  const existing = tree.get(path);
  if (existing === undefined) {
    if (old.paths.has(path)) wanted.set(path, inode);
    else if (hasParent(install, path, wanted)) tree.set(path, { ...inode });
    return;
  }
  const target = resolvePath(tree, path, true);
  if (target !== undefined && tree.get(target)?.type === "dir") return;
  if (old.owned.has(path)) tree.set(path, { ...inode });
  else install.shadowed.push(path);
}

function placeFile(
  install: Installation,
  path: TreePath,
  inode: Exclude<Inode, { type: "dir" }>,
  wanted: Map<TreePath, Inode>,
): void {
  const { tree, old } = install;
  const existing = tree.get(path);
  const other = old.paths.has(path) ? undefined : otherOwner(install, path);
  if (other !== undefined) install.conflicts.push({ path, owner: other });
  else if (existing === undefined) {
    if (old.paths.has(path)) install.leftOut.push(path);
    else if (hasParent(install, path, wanted)) tree.set(path, inode);
  } else if (existing.type === "dir") install.conflicts.push({ path, owner: "the image, as a directory" });
  else if (isReplaceable(install, path) || sameData(existing, inode)) tree.set(path, inode);
  else install.shadowed.push(path);
}

/** As this package shipped it, or as another one did that gives it up now. */
function isReplaceable({ old, context }: Installation, path: TreePath): boolean {
  return old.owned.has(path) || (!old.paths.has(path) && context.packaged.has(path));
}

/** What the image has is what the new version brings: nothing of the image's own would be lost. */
function sameData(existing: Inode, inode: Inode): boolean {
  if (inode.type === "symlink") return existing.type === "symlink" && existing.target === inode.target;
  if (inode.type !== "file" || existing.type !== "file") return false;
  return sameInode({ ...inode, content: existing.content }, inode, { mtime: true });
}

/** Makes the directories that a path needs; false (and noted) if the package doesn't bring one that the image lacks. */
function hasParent(install: Installation, path: TreePath, wanted: Map<TreePath, Inode>): boolean {
  const { tree } = install;
  const missing: TreePath[] = [];
  for (let at = parentPath(path); !tree.has(at); at = parentPath(at)) missing.push(at);
  for (const directory of missing.reverse()) {
    const inode = wanted.get(directory);
    if (inode === undefined) {
      install.conflicts.push({ path, owner: "no directory of the image or the package" });
      return false;
    }
    tree.set(directory, { ...inode });
  }
  return true;
}

/** A symlink never takes a directory's place, nor that of a symlink which leads to the same directory as itself. */
function staysDirectory(tree: MutableTree, path: TreePath, target: ByteString): boolean {
  const existing = tree.get(path);
  if (existing === undefined) return false;
  if (existing.type === "dir") return true;
  const now = resolvePath(tree, path, true);
  if (now === undefined || tree.get(now)?.type !== "dir") return false;
  const spelled = target.startsWith("/") ? target : `${parentPath(path)}/${target}`;
  return resolvePath(tree, spelled as TreePath, true) === now;
}

function removeAll(tree: MutableTree, path: TreePath): void {
  const inode = tree.get(path);
  tree.delete(path);
  if (inode?.type !== "dir") return;
  for (const each of [...tree.keys()]) if (each.startsWith(`${path}/`)) tree.delete(each);
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
