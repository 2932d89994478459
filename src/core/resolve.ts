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

/**
 * `resolvePath` without following the last name, for many paths of one tree that doesn't change meanwhile: each
 * directory is resolved once.
 */
export function pathResolver(tree: Tree): (path: TreePath) => TreePath | undefined {
  const directories = new Map<string, TreePath | undefined>();
  return (path) => {
    const slash = path.lastIndexOf("/");
    if (slash <= 0) return path;
    const directory = path.slice(0, slash) as TreePath;
    let resolved = directories.get(directory);
    if (resolved === undefined && !directories.has(directory)) {
      const found = resolvePath(tree, directory, true);
      const type = found === undefined ? undefined : tree.get(found)?.type;
      resolved = type === undefined || type === "dir" ? found : undefined;
      directories.set(directory, resolved);
    }
    return resolved === undefined ? undefined : joinPath(resolved, path.slice(slash + 1) as ByteString);
  };
}
