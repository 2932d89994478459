import { createHash } from "node:crypto";
import { type DpkgDatabase, type InstalledDeb, locate, packageKey } from "../atoms/dpkg-database.ts";
import type { ByteString, TreePath } from "../core/bytestring.ts";
import {
  type FileContent,
  type Inode,
  type Mtime,
  type MutableTree,
  type ReadObject,
  readContent,
} from "../core/tree.ts";
import type { Atom } from "../formats/atom/atom.ts";
import type { PathExcluder } from "./dpkg-config.ts";

/** An installed package and those of its paths that are as it shipped them. */
export type InstalledAtom = InstalledDeb & { readonly owned: ReadonlySet<TreePath> };

/** Puts bytes where molecules find them; called only for what a composition generates. */
export type PutBytes = (bytes: Uint8Array) => FileContent;

export type InstallContext = {
  readonly database: DpkgDatabase;
  readonly isExcluded: PathExcluder;
  readonly readObject: ReadObject;
  readonly putBytes: PutBytes;
  /** The time of generated files. */
  readonly time: Mtime;
  /**
   * Which packages ("name:architecture") will have a path when all packages are replaced that are to be: so it has no
   * meaning which of them is the first.
   */
  readonly owners: ReadonlyMap<TreePath, readonly string[]>;
  /** Every path that is as some installed package shipped it. */
  readonly packaged: ReadonlySet<TreePath>;
};

/** What replacing one package works on. The lists end up in its outcome. */
export type Installation = {
  readonly tree: MutableTree;
  readonly old: InstalledAtom;
  readonly deb: Atom;
  readonly context: InstallContext;
  /** Where a path that the package names is in the tree right now. */
  readonly at: (spelled: ByteString) => TreePath | undefined;
  /** Paths of the new version. */
  readonly paths: Set<TreePath>;
  readonly shadowed: TreePath[];
  readonly leftOut: TreePath[];
  readonly keptConffiles: TreePath[];
  readonly conflicts: { readonly path: TreePath; readonly owner: string }[];
};

/** MD5 of a file's content, hex. */
export function md5Of(content: FileContent, readObject: ReadObject): ByteString {
  return createHash("md5").update(readContent(content, readObject)).digest("hex") as ByteString;
}

/** "name:architecture" of the package that an atom is. @throws TypeError for a layer, which is none */
export function atomKey(atom: Atom): string {
  if (atom.origin.kind === "layer") throw new TypeError("A layer is no package");
  return packageKey(atom.origin.package);
}

/** Another package that will have this path, if there is one. */
export function otherOwner(install: Installation, path: TreePath): string | undefined {
  const self = atomKey(install.deb);
  return install.context.owners.get(path)?.find((key) => key !== self);
}

/** `InstallContext.owners` for these replacements. */
export function ownersAfter(
  tree: ReadonlyMap<TreePath, Inode>,
  database: DpkgDatabase,
  replacements: readonly Atom[],
): Map<TreePath, string[]> {
  const owners = new Map<TreePath, string[]>();
  const add = (path: TreePath, key: string): void => {
    const known = owners.get(path);
    if (known === undefined) owners.set(path, [key]);
    else if (known.at(-1) !== key) known.push(key);
  };
  const replaced = new Map(replacements.map((atom) => [atomKey(atom), atom]));
  for (const [key, deb] of database.installed) {
    const next = replaced.get(key);
    for (const path of next === undefined ? deb.paths : []) add(path, key);
    for (const entry of next?.entries ?? []) {
      const path = locate(tree, entry.path, deb.record.package, database.diversions);
      if (path !== undefined) add(path, key);
    }
  }
  return owners;
}
