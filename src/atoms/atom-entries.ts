import { type ByteString, compareBytes, type TreePath } from "../core/bytestring.ts";
import type { Inode, Tree } from "../core/tree.ts";
import type { AtomEntry } from "../formats/atom/atom.ts";

/** Paths of each inode that has several, ascending. */
export type HardLinkGroups = ReadonlyMap<Inode, readonly TreePath[]>;

export function hardLinkGroups(tree: Tree): HardLinkGroups {
  const groups = new Map<Inode, TreePath[]>();
  const seen = new Map<Inode, TreePath>();
  for (const [path, inode] of tree) {
    if (inode.type === "dir") continue;
    const first = seen.get(inode);
    if (first === undefined) seen.set(inode, path);
    else {
      const group = groups.get(inode);
      if (group === undefined) groups.set(inode, [first, path]);
      else group.push(path);
    }
  }
  for (const group of groups.values()) group.sort(compareBytes);
  return groups;
}

/**
 * These paths of a tree as an atom's entries, in order. A group of hard links is named by its first path; if other
 * paths of the tree belong to it too, the name says that it reaches beyond the atom ("image:").
 */
export function atomEntries(
  tree: Tree,
  paths: Iterable<TreePath>,
  groups: HardLinkGroups = hardLinkGroups(tree),
): AtomEntry[] {
  const own = new Set(paths);
  return [...own].sort(compareBytes).map((path): AtomEntry => {
    const inode = tree.get(path);
    if (inode === undefined) throw new TypeError("An atom's path is not in its tree");
    const group = groups.get(inode);
    if (group === undefined) return { path, inode };
    const scope = group.every((each) => own.has(each)) ? "" : "image:";
    return { path, inode, link: `${scope}${group[0]}` as ByteString };
  });
}
