import { type ByteString, compareBytes, joinPath, ROOT, type TreePath } from "../core/bytestring.ts";
import { compileGlob } from "../core/glob.ts";
import { resolvePath } from "../core/resolve.ts";
import type { Tree } from "../core/tree.ts";

/** Bound for what one pattern may match. */
const MAX_MATCHES = 4096;

/** As the shell: a name that starts with a dot is only matched by a pattern that does. */
export function matchesName(pattern: ByteString, name: ByteString): boolean {
  return (!name.startsWith(".") || pattern.startsWith(".")) && compileGlob(pattern)(name);
}

/**
 * What the C library's `glob` finds inside the tree for an absolute pattern, sorted by bytes. A name without pattern
 * characters matches if it exists.
 */
export function globTree(
  tree: Tree,
  childrenOf: (directory: TreePath) => readonly ByteString[],
  pattern: ByteString,
): ByteString[] {
  let found: ByteString[] = ["" as ByteString];
  for (const part of pattern.split("/") as ByteString[]) {
    if (part === "") continue;
    const next: ByteString[] = [];
    for (const prefix of found) {
      const directory = locate(tree, prefix);
      if (directory === undefined || tree.get(directory)?.type !== "dir") continue;
      if (!/[*?[\\]/.test(part)) {
        const path = `${prefix}/${part}` as ByteString;
        const target = locate(tree, path);
        if (target !== undefined && tree.has(target)) next.push(path);
        continue;
      }
      for (const name of childrenOf(directory)) {
        if (matchesName(part, name)) next.push(`${prefix}/${name}` as ByteString);
      }
    }
    found = next.sort(compareBytes).slice(0, MAX_MATCHES);
  }
  return found;
}

/**
 * Where a path as somebody spelled it ("/lib/../x//y", "x/y" meaning "/x/y") leads to, all symlinks followed.
 * @returns undefined for a symlink loop or a way through something that is no directory
 */
export function locate(tree: Tree, spelled: ByteString): TreePath | undefined {
  // resolvePath takes any spelling: it skips "." and empty names and stops ".." at the root.
  return resolvePath(tree, (spelled.startsWith("/") ? spelled : joinPath(ROOT, spelled)) as TreePath, true);
}
