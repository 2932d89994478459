import { baseName, parentPath } from "../core/bytestring.ts";
import { childrenByDirectory } from "../core/tree.ts";
import { type Installation, otherOwner } from "./installation.ts";

/**
 * Takes out what the old version had and the new one lacks (dpkg 1.21, src/main/unpack.c: pkg_remove_old_files), except
 * conffiles and what another package has too. What the image put in a file's or a directory's place is noted: dpkg would
 * delete it, even the symlink that /lib is.
 */
export function removeOldPaths(install: Installation): void {
  const { tree, old } = install;
  const conffiles = new Set(old.record.conffiles.map((each) => install.at(each.path)));
  const gone = [...old.paths].filter(
    (path) => !install.paths.has(path) && !conffiles.has(path) && otherOwner(install, path) === undefined,
  );
  for (const path of gone) {
    const inode = tree.get(path);
    if (inode === undefined || inode.type === "dir") continue;
    if (old.owned.has(path)) tree.delete(path);
    else install.shadowed.push(path);
  }
  const directories = gone.filter((path) => tree.get(path)?.type === "dir");
  if (directories.length === 0) return;
  const children = childrenByDirectory(tree);
  for (const path of directories.sort().reverse()) {
    if ((children.get(path) ?? []).length > 0) continue;
    tree.delete(path);
    const siblings = children.get(parentPath(path));
    siblings?.splice(siblings.indexOf(baseName(path)), 1);
  }
}
