import { type ByteString, joinPath, ROOT, type TreePath } from "./bytestring.ts";
import type { Tree } from "./tree.ts";

/** As Linux's own limit (MAXSYMLINKS). */
const MAX_SYMLINKS = 40;

/**
 * Follows symlinks in the directories of `path` (and in its last name if `followLast`), inside the tree only:
 * absolute targets start at the tree's root and ".." stops there, as RESOLVE_IN_ROOT does.
 * What does not exist is kept as it is spelled, so the answer is where a new file of that name would land.
 * Returns undefined for a symlink loop, or if a name on the way is neither directory nor symlink.
 */
export function resolvePath(tree: Tree, path: TreePath, followLast: boolean): TreePath | undefined {
  const pending = path
    .split("/")
    .filter((name) => name !== "")
    .reverse() as ByteString[];
  let at: TreePath = ROOT;
  let links = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === "." || name === ("" as ByteString)) continue;
    if (name === "..") {
      at = at.slice(0, Math.max(0, at.lastIndexOf("/"))) as TreePath;
      continue;
    }
    const next = joinPath(at, name);
    const inode = tree.get(next);
    const isLast = pending.length === 0;
    if (inode?.type === "symlink" && (!isLast || followLast)) {
      if (++links > MAX_SYMLINKS) return undefined;
      if (inode.target.startsWith("/")) at = ROOT;
      pending.push(...(inode.target.split("/").reverse() as ByteString[]));
      continue;
    }
    if (!isLast && inode !== undefined && inode.type !== "dir") return undefined;
    at = next;
  }
  return at;
}
