import { displayText, type TreePath } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import type { FileInode, Inode } from "../core/tree.ts";
import type { Conffile } from "../formats/dpkg/status.ts";
import { type Installation, md5Of } from "./installation.ts";

/** What dpkg calls a conffile that it has not decided about yet. */
const UNDECIDED = "newconffile";

/**
 * Puts a configuration file in, or beside the one that the image edited, as `dpkg --force-confdef --force-confold` does
 * (dpkg 1.21, src/main/configure.c: deferred_configure_conffile).
 * @returns what the database then says was shipped
 */
export function placeConffile(
  install: Installation,
  path: TreePath,
  inode: FileInode,
  next: Conffile,
): Conffile {
  const { tree, old } = install;
  const before = old.record.conffiles.find((each) => each.path === next.path);
  const existing = tree.get(path);
  if (existing === undefined) {
    if (before === undefined) tree.set(path, inode);
    else if (before.md5 !== next.md5) keepOld(install, path, inode);
    return next;
  }
  if (existing.type !== "file") {
    // dpkg 1.21 loses sight of a conffile behind a symlink: the new one stays unpacked, the old digest stays noted.
    tree.set(`${path}.dpkg-new` as TreePath, inode);
    install.keptConffiles.push(path);
    return { ...next, md5: before?.md5 ?? (UNDECIDED as Conffile["md5"]) };
  }
  const present = md5Of(existing.content, install.context.readObject);
  if (present === next.md5) return next;
  if (present === before?.md5) tree.set(path, withAttributes(inode, existing));
  else if (before === undefined || before.md5 !== next.md5)
    keepOld(install, path, withAttributes(inode, existing));
  return next;
}

function keepOld(install: Installation, path: TreePath, inode: Inode): void {
  install.tree.set(`${path}.dpkg-dist` as TreePath, inode);
  install.tree.delete(`${path}.dpkg-old` as TreePath);
  install.keptConffiles.push(path);
}

/** dpkg gives the new file the owner and mode of the one that is there. */
function withAttributes(inode: FileInode, existing: FileInode): FileInode {
  return { ...inode, mode: existing.mode, uid: existing.uid, gid: existing.gid };
}

/** A conffile that the new version wants away (deb-conffiles(5), remove-on-upgrade): kept only if it was edited. */
export function removeConffile(install: Installation, next: Conffile): Conffile {
  const { tree, old, context } = install;
  const before = old.record.conffiles.find((each) => each.path === next.path);
  const md5 = before?.md5 ?? (UNDECIDED as Conffile["md5"]);
  const path = install.at(next.path);
  const existing = path === undefined ? undefined : tree.get(path);
  if (path === undefined || existing === undefined) return { ...next, md5 };
  if (existing.type !== "file") {
    throw new AtomfsError(
      "bad-data",
      `Cannot remove conffile ${displayText(path)}: it is not a regular file`,
    );
  }
  tree.delete(path);
  if (md5Of(existing.content, context.readObject) !== md5) tree.set(`${path}.dpkg-old` as TreePath, existing);
  return { ...next, md5 };
}
