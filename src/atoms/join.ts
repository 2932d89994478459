import { type ByteString, displayText, parentPath, ROOT } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { DEFAULT_ROOT, type Inode, type MutableTree } from "../core/tree.ts";
import type { Atom } from "../formats/atom/atom.ts";

/**
 * The tree of an image from its atoms: the inverse of `split`. Atoms of one image share no path, so their order
 * doesn't matter. @throws AtomfsError "bad-data" if they do share one, or leave a path without its directory
 */
export function joinAtoms(atoms: readonly Atom[]): MutableTree {
  const tree: MutableTree = new Map();
  const imageLinks = new Map<ByteString, Inode>();
  for (const atom of atoms) {
    const atomLinks = new Map<ByteString, Inode>();
    for (const entry of atom.entries) {
      if (tree.has(entry.path)) bad(`two of its atoms have ${displayText(entry.path)}`);
      if (entry.link === undefined) {
        tree.set(entry.path, entry.inode);
        continue;
      }
      const links = entry.link.startsWith("/") ? atomLinks : imageLinks;
      const inode = links.get(entry.link) ?? entry.inode;
      links.set(entry.link, inode);
      tree.set(entry.path, inode);
    }
  }
  if (!tree.has(ROOT)) tree.set(ROOT, DEFAULT_ROOT);
  for (const path of tree.keys()) {
    if (tree.get(parentPath(path))?.type !== "dir") bad(`${displayText(path)} is in no directory`);
  }
  return tree;
}

function bad(what: string): never {
  throw new AtomfsError("bad-data", `Cannot put the image together: ${what}`, {
    hints: ["run `atomfs fsck`"],
  });
}
