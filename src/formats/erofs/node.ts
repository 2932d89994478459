import {
  type ByteString,
  compareBytes,
  displayText,
  joinPath,
  ROOT,
  type TreePath,
} from "../../core/bytestring.ts";
import type { VerityDigest } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import type { FileContent, FileInode, Inode, Tree } from "../../core/tree.ts";

/** What composefs allows beyond an object: data anywhere below the data directory, with or without a digest. */
export type ExternalContent = {
  readonly kind: "external";
  /** Path relative to the data directory. */
  readonly payload: ByteString;
  /** At least 1 byte. */
  readonly size: number;
  readonly digest: VerityDigest | undefined;
};

export type ErofsInode =
  | Exclude<Inode, FileInode>
  | (Omit<FileInode, "content"> & { readonly content: FileContent | ExternalContent });

export type ErofsEntry = { readonly name: ByteString; readonly node: ErofsNode };

/** A tree as the image holds it: names under directories. A node that several entries lead to is hard-linked. */
export type ErofsNode = {
  readonly inode: ErofsInode;
  /** st_nlink of what is no directory. */
  links: number;
  /** In byte order of the names; empty for what is no directory. */
  readonly entries: ErofsEntry[];
};

/** Paths longer than this cannot be used on Linux (PATH_MAX), and would make a small image a huge tree. */
const MAX_PATH = 4096;

/** Where an object lies below `objects/`. */
export function objectPath(digest: VerityDigest): ByteString {
  return `${digest.slice(0, 2)}/${digest.slice(2)}` as ByteString;
}

/** What an external file is: an object, if it lies where an object with its digest would. */
export function contentOf(
  payload: ByteString,
  size: number,
  digest: VerityDigest | undefined,
): FileContent | ExternalContent {
  if (digest !== undefined && payload === objectPath(digest)) return { kind: "object", digest, size };
  return { kind: "external", payload, size, digest };
}

export function isWhiteout(inode: ErofsInode): boolean {
  return inode.type === "char" && inode.major === 0 && inode.minor === 0;
}

export function sortEntries(entries: ErofsEntry[]): void {
  entries.sort((a, b) => compareBytes(a.name, b.name));
}

/** @throws AtomfsError "bad-data" if the tree breaks its own rules */
export function nodesOfTree(tree: Tree): ErofsNode {
  const directories = new Map<TreePath, ErofsNode>();
  for (const [path, inode] of tree) {
    if (inode.type === "dir") directories.set(path, { inode, links: 2, entries: [] });
  }
  const root = directories.get(ROOT);
  if (root === undefined) throw new AtomfsError("bad-data", "Tree has no root directory");
  const files = new Map<Inode, ErofsNode>();
  for (const [path, inode] of tree) {
    if (path === ROOT) continue;
    const slash = path.lastIndexOf("/");
    const parent = directories.get(path.slice(0, slash) as TreePath);
    if (parent === undefined || path.length > MAX_PATH) {
      const why = parent === undefined ? "lies in no directory" : `is longer than ${MAX_PATH} bytes`;
      throw new AtomfsError("bad-data", `Path ${displayText(path).slice(0, 300)} ${why}`);
    }
    let node = inode.type === "dir" ? directories.get(path) : files.get(inode);
    if (node === undefined) {
      node = { inode, links: 0, entries: [] };
      files.set(inode, node);
    }
    if (inode.type !== "dir") node.links++;
    parent.entries.push({ name: path.slice(slash + 1) as ByteString, node });
  }
  for (const directory of directories.values()) sortEntries(directory.entries);
  return root;
}

/** @throws AtomfsError "bad-data" for external files that are no objects, and for paths that are too long */
export function treeOfNodes(root: ErofsNode): Tree {
  const tree = new Map<TreePath, Inode>();
  for (const { path, node } of walk(root)) {
    const { inode } = node;
    if (inode.type === "file" && inode.content.kind === "external") {
      throw new AtomfsError(
        "bad-data",
        `${displayText(path)}: its data is at "${displayText(inode.content.payload)}", not at an object with its digest`,
      );
    }
    tree.set(path, inode as Inode);
  }
  return tree;
}

/**
 * Every name, directories before what they hold, names of a directory in order: the order of `composefs-info dump`.
 * @throws AtomfsError "bad-data" for a path of more than 4096 bytes
 */
export function* walk(root: ErofsNode): Generator<{ readonly path: TreePath; readonly node: ErofsNode }> {
  const stack = [{ path: ROOT, node: root }];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    yield top;
    for (let i = top.node.entries.length - 1; i >= 0; i--) {
      const { name, node } = top.node.entries[i] as ErofsEntry;
      const path = joinPath(top.path, name);
      if (path.length > MAX_PATH) {
        throw new AtomfsError(
          "bad-data",
          `Path ${displayText(path).slice(0, 300)}... is longer than ${MAX_PATH} bytes`,
        );
      }
      stack.push({ path, node });
    }
  }
}
