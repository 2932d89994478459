import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readDpkgDatabase } from "../atoms/dpkg-database.ts";
import { split } from "../atoms/split.ts";
import {
  type ByteString,
  compareBytes,
  displayText,
  parentPath,
  ROOT,
  type TreePath,
  treePath,
} from "../core/bytestring.ts";
import type { Sha256, VerityDigest } from "../core/digest.ts";
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
import { type Composition, compose } from "./compose.ts";

/*
 * The rules that no comparison with dpkg on one machine can reach, and the shape of the answers. What dpkg does is
 * compared with dpkg itself in tests/privileged/dpkg-files.test.ts and its neighbours.
 */

const objects = new Map<VerityDigest, Uint8Array>();
const context = {
  readObject: (digest: VerityDigest): Uint8Array => objects.get(digest) ?? new Uint8Array(),
  putBytes: (bytes: Uint8Array): FileContent => {
    if (bytes.length <= INLINE_MAX)
      return { kind: "inline", bytes: Buffer.from(bytes).toString("latin1") as ByteString };
    const digest = verityDigest(bytes);
    objects.set(digest, bytes);
    return { kind: "object", digest, size: bytes.length };
  },
  elfOf: () => undefined,
};

function file(text: string, sec = 1): FileInode {
  const content = context.putBytes(Buffer.from(text, "latin1"));
  return {
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { sec, nsec: 0 },
    xattrs: EMPTY_XATTRS,
    content,
  };
}

function text(tree: Tree, path: string): string | undefined {
  const inode = tree.get(treePath(path));
  if (inode?.type !== "file") return undefined;
  const { content } = inode;
  return content.kind === "inline"
    ? content.bytes
    : Buffer.from(context.readObject(content.digest)).toString("latin1");
}

function add(tree: MutableTree, path: TreePath, inode: Inode): void {
  const missing: TreePath[] = [];
  for (let at = parentPath(path); !tree.has(at); at = parentPath(at)) missing.push(at);
  for (const each of missing.reverse()) tree.set(each, { ...DEFAULT_ROOT });
  tree.set(path, inode);
}

type Package = {
  readonly name: string;
  readonly architecture?: string;
  readonly files: Readonly<Record<string, string>>;
};

const control = (each: Package, version: string): string =>
  `Package: ${each.name}\nArchitecture: ${each.architecture ?? "amd64"}\nMulti-Arch: same\nVersion: ${version}\nMaintainer: x\nDescription: x\n`;

function listOf(files: Readonly<Record<string, string>>): string[] {
  const paths = new Set<string>(["/."]);
  for (const path of Object.keys(files)) {
    const names = path.split("/").slice(1);
    for (let n = 1; n <= names.length; n++) paths.add(`/${names.slice(0, n).join("/")}`);
  }
  return [...paths];
}

/** The atoms of an image with these packages in version 1, after `edit`. */
function imageOf(packages: readonly Package[], edit: (tree: MutableTree) => void = () => {}): Atom[] {
  const tree: MutableTree = new Map([[ROOT, { ...DEFAULT_ROOT }]]);
  const stanzas: string[] = [];
  for (const each of packages) {
    const base = `/var/lib/dpkg/info/${each.name}:${each.architecture ?? "amd64"}`;
    for (const [path, content] of Object.entries(each.files)) add(tree, treePath(path), file(content));
    const sums = Object.entries(each.files).map(
      ([path, content]) => `${createHash("md5").update(content).digest("hex")}  ${path.slice(1)}\n`,
    );
    add(
      tree,
      treePath(`${base}.list`),
      file(
        listOf(each.files)
          .map((path) => `${path}\n`)
          .join(""),
      ),
    );
    add(tree, treePath(`${base}.md5sums`), file(sums.join("")));
    stanzas.push(control(each, "1").replace("\n", "\nStatus: install ok installed\n"));
  }
  add(tree, treePath("/var/lib/dpkg/status"), file(stanzas.map((stanza) => `${stanza}\n`).join("")));
  edit(tree);
  const database = readDpkgDatabase(tree, context.readObject);
  const diffIds = ["a".repeat(64) as Sha256];
  return split({ tree, layerOf: new Map(), diffIds, database, readObject: context.readObject });
}

/** The atom of a package file in version 2; its times are in second 2. */
function debOf(each: Package, members: Readonly<Record<string, string>> = {}): Atom {
  const entries = listOf(each.files)
    .filter((path) => path !== "/.")
    .map((path) => {
      const content = each.files[path];
      return { path: treePath(path), inode: content === undefined ? { ...DEFAULT_ROOT } : file(content, 2) };
    });
  const list = listOf(each.files)
    .map((path) => `${path}\n`)
    .join("");
  const all = { control: control(each, "2"), list, md5sums: "", ...members };
  const { name, architecture = "amd64" } = each;
  return {
    origin: {
      kind: "deb",
      package: { name, architecture, version: "2", source: name, sourceVersion: "2" },
      deb: "d".repeat(64) as Sha256,
    },
    entries: entries.sort((a, b) => compareBytes(a.path, b.path)),
    control: Object.entries(all)
      .map(([member, content]) => ({ name: member as ByteString, inode: file(content, 2) }))
      .sort((a, b) => compareBytes(a.name, b.name)),
  };
}

function composed(image: readonly Atom[], ...debs: readonly Atom[]): Composition {
  return compose(image, debs, context);
}

const shown = (paths: readonly TreePath[] | undefined): string[] => (paths ?? []).map(displayText);

describe("compose", () => {
  const p = (files: Readonly<Record<string, string>>): Package => ({ name: "p", files });

  test("without replacements gives the image's own tree", () => {
    const image = imageOf([p({ "/usr/a": "a" })]);
    const { tree, image: own, outcomes } = composed(image);
    expect(tree).toBe(own);
    expect(outcomes.size).toBe(0);
  });

  test("never changes the image's tree, and gives the same for each order of the replacements", () => {
    const q: Package = { name: "q", files: { "/usr/q": "q" } };
    const image = imageOf([p({ "/usr/a": "a", "/usr/m": "m" }), q]);
    const before = [...composed(image).tree];
    const debs = [
      debOf(p({ "/usr/a": "a2" })),
      debOf({ ...q, files: { "/usr/q": "q2", "/usr/m": "moved" } }),
    ];
    const one = composed(image, ...debs);
    const two = composed(image, ...debs.reverse());
    const lines = ({ tree }: Composition): unknown[] => [...tree].sort(([a], [b]) => compareBytes(a, b));
    expect(lines(one)).toEqual(lines(two));
    expect(text(one.tree, "/usr/m")).toBe("moved");
    expect([...composed(image).tree]).toEqual(before);
  });

  test("writes generated files with the time of the newest thing that the fix brings", () => {
    const { tree } = composed(imageOf([p({ "/usr/a": "a" })]), debOf(p({ "/usr/a": "a2" })));
    expect(tree.get(treePath("/var/lib/dpkg/status"))?.mtime).toEqual({ sec: 2, nsec: 0 });
    expect(text(tree, "/var/lib/dpkg/status")).toContain("Version: 2\n");
    expect(text(tree, "/var/lib/dpkg/status")).not.toContain("Version: 1\n");
    expect(text(tree, "/var/lib/dpkg/info/p:amd64.list")).toBe("/.\n/usr\n/usr/a\n");
  });

  test("refuses a replacement of what is not there", () => {
    const image = imageOf([p({ "/usr/a": "a" })]);
    expect(() => composed(image, debOf({ name: "q", files: {} }))).toThrow("no package q:amd64");
    expect(() => composed([], debOf(p({})))).toThrow("no package database");
  });
});

describe("installDeb", () => {
  const outcomeOf = (composition: Composition, key = "p:amd64") => composition.outcomes.get(key);
  const p = (files: Readonly<Record<string, string>>): Package => ({ name: "p", files });

  test("replaces a file that two architectures of a package share, once for each", () => {
    const both = ["amd64", "i386"].map((architecture) => ({ ...p({ "/usr/doc/p": "doc" }), architecture }));
    const debs = both.map((each) => debOf({ ...each, files: { "/usr/doc/p": "doc2" } }));
    const composition = composed(imageOf(both), ...debs);
    for (const key of ["p:amd64", "p:i386"])
      expect(outcomeOf(composition, key)).toMatchObject({ shadowed: [], conflicts: [] });
    expect(text(composition.tree, "/usr/doc/p")).toBe("doc2");
  });

  test("keeps what the other architecture still has", () => {
    const both = ["amd64", "i386"].map((architecture) => ({ ...p({ "/usr/doc/p": "doc" }), architecture }));
    const composition = composed(imageOf(both), debOf({ ...p({ "/usr/x": "x" }), architecture: "amd64" }));
    expect(text(composition.tree, "/usr/doc/p")).toBe("doc");
    expect(outcomeOf(composition)?.shadowed).toEqual([]);
  });

  test("says which paths it could not reach, and leaves them as they are", () => {
    const image = imageOf([p({ "/usr/a": "a", "/usr/b": "b", "/usr/gone": "g" })], (tree) => {
      tree.set(treePath("/usr/a"), file("patched"));
      tree.set(treePath("/usr/gone"), file("patched"));
      tree.delete(treePath("/usr/b"));
    });
    const composition = composed(image, debOf(p({ "/usr/a": "a2", "/usr/b": "b2", "/usr/c": "c2" })));
    const outcome = outcomeOf(composition);
    expect(shown(outcome?.shadowed)).toEqual(["/usr/a", "/usr/gone"]);
    expect(shown(outcome?.leftOut)).toEqual(["/usr/b"]);
    for (const path of ["/usr/a", "/usr/gone"]) expect(text(composition.tree, path)).toBe("patched");
    expect(text(composition.tree, "/usr/b")).toBeUndefined();
    expect(text(composition.tree, "/usr/c")).toBe("c2");
  });

  test("notes the digests of a package that comes without, and not those of one that has some", () => {
    const deb = debOf(p({ "/usr/a": "a2" }));
    const without = { ...deb, control: deb.control.filter((member) => member.name !== "md5sums") };
    const { tree } = composed(imageOf([p({ "/usr/a": "a" })]), without);
    const md5 = createHash("md5").update("a2").digest("hex");
    expect(text(tree, "/var/lib/dpkg/info/p:amd64.md5sums")).toBe(`${md5}  usr/a\n`);
    expect(
      text(composed(imageOf([p({ "/usr/a": "a" })]), deb).tree, "/var/lib/dpkg/info/p:amd64.md5sums"),
    ).toBe("");
  });

  test("refuses a package file without a control file or a list", () => {
    const image = imageOf([p({ "/usr/a": "a" })]);
    const deb = debOf(p({ "/usr/a": "a2" }));
    for (const missing of ["control", "list"]) {
      const control = deb.control.filter((member) => member.name !== missing);
      expect(() => composed(image, { ...deb, control })).toThrow(
        missing === "control" ? "control file" : "file list",
      );
    }
  });

  test("has no place for a file whose directory neither the image nor the package has", () => {
    const deb = debOf(p({ "/srv/x/f": "f" }));
    const entries = deb.entries.filter((entry) => entry.inode.type === "file");
    const composition = composed(imageOf([p({ "/usr/a": "a" })]), { ...deb, entries });
    expect(outcomeOf(composition)?.conflicts.map((each) => displayText(each.path))).toEqual(["/srv/x/f"]);
    for (const path of composition.tree.keys())
      expect(composition.tree.get(parentPath(path))?.type).toBe("dir");
  });

  test("an owner that the image does not know does not stop it; # names one by number", () => {
    const override = (line: string): Atom[] =>
      imageOf([p({ "/usr/a": "a" })], (tree) => {
        add(tree, treePath("/var/lib/dpkg/statoverride"), file(`${line} /usr/a\n`));
        add(tree, treePath("/etc/passwd"), file("www:x:33:33::/:\n"));
        add(tree, treePath("/etc/group"), file("adm:x:4:\n"));
      });
    const attributes = (line: string): unknown => {
      const inode = composed(override(line), debOf(p({ "/usr/a": "a2" }))).tree.get(treePath("/usr/a"));
      return [inode?.uid, inode?.gid, inode?.mode];
    };
    expect(attributes("www adm 640")).toEqual([33, 4, 0o640]);
    expect(attributes("#7 #8 4755")).toEqual([7, 8, 0o4755]);
    expect(attributes("nobody nobody 600")).toEqual([0, 0, 0o600]);
  });
});
