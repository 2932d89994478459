import { createHash } from "node:crypto";
import { type ByteString, parentPath, parseTreePath, type TreePath } from "../core/bytestring.ts";
import type { Sha256 } from "../core/digest.ts";
import { resolvePath } from "../core/resolve.ts";
import {
  childrenByDirectory,
  type FileInode,
  type Inode,
  type ReadObject,
  readContent,
  type Tree,
} from "../core/tree.ts";
import type { Atom, AtomOrigin } from "../formats/atom/atom.ts";
import { atomEntries, hardLinkGroups } from "./atom-entries.ts";
import {
  type DpkgDatabase,
  debIdentity,
  INFO_DIRECTORY,
  type InstalledDeb,
  infoFiles,
} from "./dpkg-database.ts";

/**
 * Splits the tree of an image into atoms that share no path: one for each installed package, holding what the package
 * shipped and nobody changed, and one for each layer with all the rest. `joinAtoms` gives the tree back exactly.
 *
 * A package's atom has: regular files of its list with the MD5 that the package shipped (so not an edited conffile),
 * symlinks of its list that lead to a listed path or to nothing, and its own files under /var/lib/dpkg/info. Directories, devices and
 * everything that differs from what was shipped belong to the layer that wrote them last.
 */
export function split(input: {
  readonly tree: Tree;
  readonly layerOf: ReadonlyMap<TreePath, number>;
  /** Of the layers, in order. */
  readonly diffIds: readonly Sha256[];
  readonly database: DpkgDatabase | undefined;
  readonly readObject: ReadObject;
}): Atom[] {
  const { tree, layerOf, diffIds, database, readObject } = input;
  const owner =
    database === undefined ? new Map<TreePath, InstalledDeb>() : assignOwners(tree, database, readObject);
  const layers: TreePath[][] = diffIds.map(() => []);
  const packages = new Map<InstalledDeb, TreePath[]>();
  for (const path of tree.keys()) {
    const deb = owner.get(path);
    if (deb !== undefined) {
      const paths = packages.get(deb);
      if (paths === undefined) packages.set(deb, [path]);
      else paths.push(path);
    } else layers[layerOf.get(path) ?? 0]?.push(path);
  }
  const linkGroups = hardLinkGroups(tree);
  const makeAtom = (origin: AtomOrigin, paths: readonly TreePath[]): Atom => ({
    origin,
    entries: atomEntries(tree, paths, linkGroups),
    control: [],
  });
  const atoms: Atom[] = [];
  for (const [index, paths] of layers.entries()) {
    if (paths.length > 0) atoms.push(makeAtom({ kind: "layer", diffId: diffIds[index] as Sha256 }, paths));
  }
  for (const deb of database?.installed.values() ?? []) {
    const origin = { kind: "installed", package: debIdentity(deb.record) } as const;
    atoms.push(makeAtom(origin, packages.get(deb) ?? []));
  }
  return atoms;
}

/** Which package each packaged path belongs to. Of packages that share a file, the first in the database has it. */
function assignOwners(
  tree: Tree,
  database: DpkgDatabase,
  readObject: ReadObject,
): Map<TreePath, InstalledDeb> {
  const owner = new Map<TreePath, InstalledDeb>();
  const listed = new Set<TreePath>();
  for (const deb of database.installed.values()) for (const path of deb.paths) listed.add(path);
  const infoNames = childrenByDirectory(tree).get(INFO_DIRECTORY) ?? [];
  const md5Of = md5Cache(readObject);
  for (const deb of database.installed.values()) {
    for (const path of deb.paths) {
      const inode = tree.get(path);
      if (inode === undefined || owner.has(path)) continue;
      if (isAsShipped(tree, path, inode, deb, listed, md5Of)) owner.set(path, deb);
    }
    for (const path of infoFiles(tree, deb.infoBase, infoNames)) if (!owner.has(path)) owner.set(path, deb);
  }
  return owner;
}

function isAsShipped(
  tree: Tree,
  path: TreePath,
  inode: Inode,
  deb: InstalledDeb,
  listed: ReadonlySet<TreePath>,
  md5Of: (inode: FileInode) => string,
): boolean {
  if (inode.type === "file") return deb.md5.get(path) === (md5Of(inode) as ByteString);
  if (inode.type !== "symlink" || deb.directories.has(path)) return false;
  const target = symlinkTarget(tree, path, inode.target);
  return target !== undefined && (listed.has(target) || !tree.has(target));
}

/** The path that a symlink names, with the symlinks of its directories followed. */
export function symlinkTarget(tree: Tree, path: TreePath, target: ByteString): TreePath | undefined {
  const spelled = target.startsWith("/") ? target : `${parentPath(path)}/${target}`;
  const names: string[] = [];
  for (const name of spelled.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  const plain = parseTreePath(names.join("/") as ByteString);
  return plain === undefined ? undefined : resolvePath(tree, plain, false);
}

function md5Cache(readObject: ReadObject): (inode: FileInode) => string {
  const known = new Map<FileInode, string>();
  return (inode) => {
    const before = known.get(inode);
    if (before !== undefined) return before;
    const md5 = createHash("md5").update(readContent(inode.content, readObject)).digest("hex");
    known.set(inode, md5);
    return md5;
  };
}
