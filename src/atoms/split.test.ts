import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { anyTree } from "../../tests/arbitrary/tree.ts";
import {
  type ByteString,
  displayText,
  fromText,
  parentPath,
  ROOT,
  type TreePath,
  treePath,
} from "../core/bytestring.ts";
import type { Sha256 } from "../core/digest.ts";
import { resolvePath } from "../core/resolve.ts";
import {
  DEFAULT_ROOT,
  EMPTY_XATTRS,
  type FileContent,
  type FileInode,
  INLINE_MAX,
  type Inode,
  type MutableTree,
  type Tree,
} from "../core/tree.ts";
import { verityDigest } from "../core/verity.ts";
import type { Atom } from "../formats/atom/atom.ts";
import { decodeAtom, encodeAtom } from "../formats/atom/codec.ts";
import { readDpkgDatabase } from "./dpkg-database.ts";
import { joinAtoms } from "./join.ts";
import { split } from "./split.ts";

const MTIME = { sec: 1, nsec: 0 };
const DIFF_IDS = ["a", "b", "c"].map((digit) => digit.repeat(64) as Sha256);

/** Files of the database that are too long to be inline. */
const objects = new Map<string, Uint8Array>();

/** The bytes of any other object are its digest: all that the split asks of them is their MD5. */
const readObject = (digest: string): Uint8Array => objects.get(digest) ?? Buffer.from(digest);

function file(text: string): Inode {
  const content = { kind: "inline", bytes: fromText(text) } as const;
  return { type: "file", mode: 0o644, uid: 0, gid: 0, mtime: MTIME, xattrs: EMPTY_XATTRS, content };
}

/** Of a string with one character a byte. */
function contentOf(text: string): FileContent {
  if (text.length <= INLINE_MAX) return { kind: "inline", bytes: text as ByteString };
  const bytes = Buffer.from(text, "latin1");
  const digest = verityDigest(bytes);
  objects.set(digest, bytes);
  return { kind: "object", digest, size: bytes.length };
}

function symlink(target: string): Inode {
  return {
    type: "symlink",
    mode: 0o777,
    uid: 0,
    gid: 0,
    mtime: MTIME,
    xattrs: EMPTY_XATTRS,
    target: fromText(target),
  };
}

function add(tree: MutableTree, path: TreePath, inode: Inode): void {
  const missing: TreePath[] = [];
  for (let at = parentPath(path); !tree.has(at); at = parentPath(at)) missing.push(at);
  for (const each of missing.reverse()) tree.set(each, { ...DEFAULT_ROOT });
  tree.set(path, inode);
}

function md5(inode: Inode | undefined): string {
  if (inode?.type !== "file") return "0".repeat(32);
  const bytes =
    inode.content.kind === "inline"
      ? Buffer.from(inode.content.bytes, "latin1")
      : readObject(inode.content.digest);
  return createHash("md5").update(bytes).digest("hex");
}

type Package = {
  readonly name: string;
  readonly paths: readonly string[];
  readonly wrongMd5?: readonly string[];
};

/** Gives a tree a package database in which these packages have these paths. */
function withDatabase(tree: Tree, packages: readonly Package[]): MutableTree {
  const result: MutableTree = new Map(tree);
  const byteFile = (text: string): Inode => ({ ...(file("") as FileInode), content: contentOf(text) });
  const stanzas = packages.map(
    ({ name }) =>
      `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nMaintainer: x\nDescription: x\n\n`,
  );
  add(result, treePath("/var/lib/dpkg/status"), byteFile(stanzas.join("")));
  for (const { name, paths, wrongMd5 = [] } of packages) {
    const at = (path: string): Inode | undefined =>
      tree.get(resolvePath(tree, path as TreePath, false) ?? ROOT);
    const sums = paths.filter((path) => at(path)?.type === "file");
    const line = (path: string): string =>
      `${wrongMd5.includes(path) ? "f".repeat(32) : md5(at(path))}  ${path.slice(1)}\n`;
    add(
      result,
      treePath(`/var/lib/dpkg/info/${name}.list`),
      byteFile(paths.map((path) => `${path}\n`).join("")),
    );
    add(result, treePath(`/var/lib/dpkg/info/${name}.md5sums`), byteFile(sums.map(line).join("")));
  }
  return result;
}

function splitTree(tree: Tree, layerOf: ReadonlyMap<TreePath, number> = new Map()): Atom[] {
  return split({
    tree,
    layerOf,
    diffIds: DIFF_IDS,
    database: readDpkgDatabase(tree, readObject),
    readObject,
  });
}

function pathsOf(atoms: readonly Atom[], name: string): string[] {
  const atom = atoms.find((each) =>
    each.origin.kind === "layer"
      ? DIFF_IDS[Number(name)] === each.origin.diffId
      : each.origin.package.name === name,
  );
  return (atom?.entries ?? []).map((entry) => displayText(entry.path));
}

/** Equal, with the same names for the same inodes. */
function expectSame(actual: Tree, wanted: Tree): void {
  expect([...actual.keys()].sort()).toEqual([...wanted.keys()].sort());
  const counterpart = new Map<Inode, Inode>();
  const taken = new Set<Inode>();
  for (const [path, want] of wanted) {
    const have = actual.get(path) as Inode;
    const known = counterpart.get(want);
    if (known === undefined) {
      expect(have).toEqual(want);
      expect(taken.has(have)).toBe(false);
      taken.add(have);
      counterpart.set(want, have);
    } else expect(have).toBe(known);
  }
}

/** Names that dpkg's line-based database can hold. */
const isListable = (path: TreePath): boolean =>
  path !== ROOT && !/[\0\n\r\\]/.test(path) && !/^[ \t]|[ \t]$/.test(path);

describe("split", () => {
  test("and join give back the tree exactly, however packages and layers share it", () => {
    fc.assert(
      fc.property(
        anyTree,
        fc.array(fc.nat(4), { minLength: 1, maxLength: 40 }),
        fc.array(fc.nat(2), { minLength: 1, maxLength: 40 }),
        (tree, choice, layers) => {
          const reserved = /^\/var(\/|$)/;
          if ([...tree.keys()].some((path) => reserved.test(path))) return;
          const names = ["one", "two", "three"];
          const lists = names.map((): string[] => []);
          const wrong: string[] = [];
          let index = 0;
          for (const path of tree.keys()) {
            const which = choice[index++ % choice.length] ?? 0;
            if (!isListable(path)) continue;
            if (which < 3) lists[which]?.push(path);
            if (which === 3) {
              lists[0]?.push(path);
              lists[1]?.push(path);
            }
            if (which === 4) wrong.push(path);
          }
          const full = withDatabase(
            tree,
            names.map((name, n) => ({
              name,
              paths: [...(lists[n] ?? []), ...(n === 2 ? wrong : [])],
              wrongMd5: wrong,
            })),
          );
          index = 0;
          const layerOf = new Map(
            [...full.keys()].map((path) => [path, layers[index++ % layers.length] ?? 0]),
          );
          const atoms = splitTree(full, layerOf);
          const stored = atoms.map((atom) => decodeAtom(encodeAtom(atom)));
          expectSame(joinAtoms(stored), full);
          expectSame(joinAtoms([...stored].reverse()), full);
          expect(stored.reduce((sum, atom) => sum + atom.entries.length, 0)).toBe(full.size);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("gives a package what it shipped and nobody changed, and its files of the database", () => {
    const tree: MutableTree = new Map([[ROOT, { ...DEFAULT_ROOT }]]);
    for (const name of ["same", "changed", "unlisted"]) add(tree, treePath(`/usr/${name}`), file(name));
    const atoms = splitTree(
      withDatabase(tree, [
        { name: "p", paths: ["/usr", "/usr/same", "/usr/changed"], wrongMd5: ["/usr/changed"] },
      ]),
    );
    expect(pathsOf(atoms, "p")).toEqual([
      "/usr/same",
      "/var/lib/dpkg/info/p.list",
      "/var/lib/dpkg/info/p.md5sums",
    ]);
    expect(pathsOf(atoms, "0")).toContain("/usr/changed");
    expect(pathsOf(atoms, "0")).toContain("/usr/unlisted");
    expect(pathsOf(atoms, "0")).toContain("/usr");
  });

  test("gives a symlink to the package only if it leads to a listed path or to nothing, and is no directory to it", () => {
    const tree: MutableTree = new Map([[ROOT, { ...DEFAULT_ROOT }]]);
    add(tree, treePath("/usr/lib/f"), file("f"));
    add(tree, treePath("/etc/made"), file("by a script"));
    add(tree, treePath("/lib"), symlink("usr/lib"));
    const links = { own: "f", others: "../q", nothing: "/nowhere", made: "/etc/made", loop: "loop" };
    add(tree, treePath("/usr/q"), file("q"));
    for (const [name, target] of Object.entries(links))
      add(tree, treePath(`/usr/lib/${name}`), symlink(target));
    const atoms = splitTree(
      withDatabase(tree, [
        { name: "p", paths: ["/lib", "/lib/f", ...Object.keys(links).map((name) => `/lib/${name}`)] },
        { name: "q", paths: ["/usr/q"] },
      ]),
    );
    const own = pathsOf(atoms, "p").filter((path) => !path.startsWith("/var"));
    expect(own).toEqual([
      "/usr/lib/f",
      "/usr/lib/loop",
      "/usr/lib/nothing",
      "/usr/lib/others",
      "/usr/lib/own",
    ]);
  });

  test("gives what a layer changed to that layer, and nothing twice", () => {
    const tree: MutableTree = new Map([[ROOT, { ...DEFAULT_ROOT }]]);
    for (const name of ["a", "b"]) add(tree, treePath(`/${name}`), file(name));
    const atoms = splitTree(tree, new Map([[treePath("/b"), 2]]));
    expect(pathsOf(atoms, "0")).toEqual(["", "/a"]);
    expect(pathsOf(atoms, "1")).toEqual([]);
    expect(pathsOf(atoms, "2")).toEqual(["/b"]);
  });
});

describe("joinAtoms", () => {
  const atom = (digit: string, entries: Atom["entries"]): Atom => ({
    origin: { kind: "layer", diffId: digit.repeat(64) as Sha256 },
    entries,
    control: [],
  });

  test("refuses atoms that share a path, and paths without a directory", () => {
    const a = { path: treePath("/a"), inode: file("a") };
    expect(() => joinAtoms([atom("1", [a]), atom("2", [a])])).toThrow("two of its atoms have /a");
    expect(() => joinAtoms([atom("1", [{ path: treePath("/x/y"), inode: file("y") }])])).toThrow(
      "is in no directory",
    );
  });

  test("gives a tree without a root the default one, and it its own names of hard links", () => {
    const link = "/a" as ByteString;
    const one = atom("1", [
      { path: treePath("/a"), inode: file("x"), link },
      { path: treePath("/b"), inode: file("x"), link },
    ]);
    const two = atom("2", [{ path: treePath("/c"), inode: file("x"), link }]);
    const tree = joinAtoms([one, two]);
    expect(tree.get(ROOT)).toEqual(DEFAULT_ROOT);
    expect(tree.get(treePath("/a"))).toBe(tree.get(treePath("/b")) as Inode);
    expect(tree.get(treePath("/c"))).not.toBe(tree.get(treePath("/a")) as Inode);
  });
});
