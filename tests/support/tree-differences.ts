import { readFileSync } from "node:fs";
import { join } from "node:path";
import { displayText, type TreePath, toBytes } from "../../src/core/bytestring.ts";
import { compileGlob } from "../../src/core/glob.ts";
import {
  compareMtime,
  type Inode,
  type MutableTree,
  type ReadObject,
  type Tree,
} from "../../src/core/tree.ts";
import { readXattrs } from "../../src/sys/xattr.ts";
import { loadDirectory } from "./load-directory.ts";

/** One way in which two trees differ. `fact` is "missing", "extra", "links" or the attribute that differs. */
export type TreeDifference = { readonly path: TreePath; readonly fact: string; readonly detail: string };

/** A directory of the host as a tree, with extended attributes and times in nanoseconds. */
export function readDirectory(directory: string): { tree: Tree; readObject: ReadObject } {
  const { tree: bare, readObject } = loadDirectory(directory);
  const tree: MutableTree = new Map();
  const made = new Map<Inode, Inode>();
  for (const [path, inode] of bare) {
    const known = made.get(inode);
    const xattrs = known?.xattrs ?? readXattrs(Buffer.concat([Buffer.from(`${directory}/`), toBytes(path)]));
    const full = known ?? (xattrs.size === 0 ? inode : { ...inode, xattrs });
    made.set(inode, full);
    tree.set(path, full);
  }
  return { tree, readObject };
}

/** In which ways `actual` is not `wanted`: paths, types, contents, modes, owners, times, xattrs, links. */
export function treeDifferences(actual: Tree, wanted: Tree): TreeDifference[] {
  const found: TreeDifference[] = [];
  const firstNames = { actual: firstPaths(actual), wanted: firstPaths(wanted) };
  for (const [path, want] of wanted) {
    const have = actual.get(path);
    if (have === undefined) {
      found.push({ path, fact: "missing", detail: want.type });
      continue;
    }
    const haveFacts = factsOf(have, firstNames.actual.get(have));
    const wantFacts = factsOf(want, firstNames.wanted.get(want));
    for (const fact of Object.keys(wantFacts) as (keyof typeof wantFacts)[]) {
      if (haveFacts[fact] === wantFacts[fact]) continue;
      found.push({ path, fact, detail: `${haveFacts[fact]}, want ${wantFacts[fact]}` });
    }
    if (compareMtime(have.mtime, want.mtime) !== 0) {
      const text = ({ mtime: { sec, nsec } }: Inode): string => `${sec}.${String(nsec).padStart(9, "0")}`;
      // The times of directories are told apart from others: what the package manager puts into one changes it.
      found.push({
        path,
        fact: want.type === "dir" ? "directory mtime" : "mtime",
        detail: `${text(have)}, want ${text(want)}`,
      });
    }
  }
  for (const [path, inode] of actual) {
    if (!wanted.has(path)) found.push({ path, fact: "extra", detail: inode.type });
  }
  return found;
}

function factsOf(
  inode: Inode,
  firstName: TreePath | undefined,
): Record<"data" | "mode" | "owner" | "xattrs" | "links", string> {
  return {
    data: dataOf(inode),
    // Linux shows every symlink as 0777; what an archive says of its mode has no meaning.
    mode: inode.type === "symlink" ? "" : inode.mode.toString(8),
    owner: `${inode.uid}:${inode.gid}`,
    xattrs: JSON.stringify([...inode.xattrs].sort()),
    links: firstName ?? "",
  };
}

function dataOf(inode: Inode): string {
  switch (inode.type) {
    case "file":
      return inode.content.kind === "inline"
        ? `file ${JSON.stringify(inode.content.bytes)}`
        : `file of ${inode.content.size} bytes ${inode.content.digest}`;
    case "symlink":
      return `symlink to ${inode.target}`;
    case "char":
    case "block":
      return `${inode.type} ${inode.major}:${inode.minor}`;
    default:
      return inode.type;
  }
}

/** For each inode of several names, the first of them. */
function firstPaths(tree: Tree): Map<Inode, TreePath> {
  const first = new Map<Inode, TreePath>();
  const several = new Set<Inode>();
  for (const [path, inode] of tree) {
    if (inode.type === "dir") continue;
    const other = first.get(inode);
    if (other !== undefined) several.add(inode);
    if (other === undefined || path < other) first.set(inode, path);
  }
  for (const inode of first.keys()) if (!several.has(inode)) first.delete(inode);
  return first;
}

export type Exemption = { readonly path: string; readonly facts: readonly string[]; readonly reason: string };

/** Differences that no line of the checked-in list (tests/fixtures), and none of `more`, excuses, as text. */
export function unexcused(
  differences: readonly TreeDifference[],
  listName: string,
  more: readonly Exemption[] = [],
): string[] {
  const file = join(import.meta.dir, "../fixtures", listName);
  const list = JSON.parse(readFileSync(file, "utf8")) as readonly Exemption[];
  const rules = [...list, ...more].map((each) => ({
    matches: compileGlob(each.path),
    facts: new Set(each.facts),
  }));
  return differences
    .filter(({ path, fact }) => !rules.some((rule) => rule.facts.has(fact) && rule.matches(path)))
    .map(({ path, fact, detail }) => `${displayText(path) || "/"}: ${fact}: ${detail}`)
    .sort();
}
