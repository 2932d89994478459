import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { anyTree } from "../../../tests/arbitrary/tree.ts";
import { structSize } from "../../bytes/struct.ts";
import { type ByteString, joinPath, ROOT, type TreePath, treePath } from "../../core/bytestring.ts";
import type { VerityDigest } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import { DEFAULT_ROOT, type FileContent, type Inode, type Tree } from "../../core/tree.ts";
import { decodeDump, encodeDump } from "./dump.ts";
import * as layout from "./layout.ts";
import { objectsOf, readErofs } from "./reader.ts";
import { writeErofs } from "./writer.ts";
import { xxh32 } from "./xxh32.ts";

const bytes = (text: string): ByteString => text as ByteString;
const DIGEST_A = "a".repeat(64) as VerityDigest;
const DIGEST_B = "b".repeat(64) as VerityDigest;
const common = { mode: 0o644, uid: 0, gid: 0, mtime: { sec: 0, nsec: 0 }, xattrs: new Map() };

function file(content: FileContent): Inode {
  return { ...common, type: "file", content };
}

function treeOf(entries: Readonly<Record<string, Inode>>): Tree {
  return new Map([
    [ROOT, DEFAULT_ROOT],
    ...Object.entries(entries).map(([path, inode]) => [treePath(path), inode] as const),
  ]);
}

/** Which paths are one inode, as toEqual cannot see it. */
function linkGroups(tree: Tree): string[][] {
  const groups = new Map<Inode, string[]>();
  for (const [path, inode] of tree) groups.set(inode, [...(groups.get(inode) ?? []), path].sort());
  return [...groups.values()].filter((paths) => paths.length > 1).sort();
}

describe("round trips", () => {
  test("image and dump of any tree lead back to it, hard links included", () => {
    fc.assert(
      fc.property(anyTree, (tree) => {
        const image = writeErofs(tree);
        for (const again of [readErofs(image), decodeDump(Buffer.from(encodeDump(tree)))]) {
          expect(again).toEqual(tree);
          expect(linkGroups(again)).toEqual(linkGroups(tree));
          expect(Buffer.compare(writeErofs(again), image)).toBe(0);
        }
      }),
      { numRuns: 150 },
    );
  });

  test("the image does not depend on the order of the tree's map", () => {
    fc.assert(
      fc.property(anyTree, (tree) => {
        const backwards = new Map([...tree].reverse());
        expect(Buffer.compare(writeErofs(backwards), writeErofs(tree))).toBe(0);
        expect(encodeDump(backwards)).toBe(encodeDump(tree));
      }),
      { numRuns: 30 },
    );
  });

  test.each(Array.from({ length: 65 }, (_, size) => size))("%d bytes of inline content", (size) => {
    const tree = treeOf({ "/f": file({ kind: "inline", bytes: bytes("\u00fe".repeat(size)) }) });
    expect(readErofs(writeErofs(tree))).toEqual(tree);
  });
});

test("a root whose data would cross a block is moved, and the superblock says where to", () => {
  const names = Array.from({ length: 40 }, (_, number) => `/${"n".repeat(20)}${number}`);
  const children = Object.fromEntries(
    names.map((name) => [name, file({ kind: "inline", bytes: bytes("") })] as const),
  );
  let moved = 0;
  for (let size = 500; size < 3000; size += 50) {
    const tree = new Map(treeOf(children));
    tree.set(ROOT, { ...DEFAULT_ROOT, xattrs: new Map([[bytes("user.x"), bytes("v".repeat(size))]]) });
    const image = writeErofs(tree);
    expect(readErofs(image)).toEqual(tree);
    if (Buffer.from(image).readUInt16LE(1038) > 36) moved += 1;
  }
  expect(moved).toBeGreaterThan(0);
});

describe("objectsOf", () => {
  test("names each object once, and no inline content", () => {
    const a = file({ kind: "object", digest: DIGEST_A, size: 100 });
    const tree = treeOf({
      "/d": { ...common, type: "dir" },
      "/d/a": a,
      "/d/link": a,
      "/a2": file({ kind: "object", digest: DIGEST_A, size: 100 }),
      "/b": file({ kind: "object", digest: DIGEST_B, size: 2 ** 40 }),
      "/small": file({ kind: "inline", bytes: bytes("x") }),
    });
    expect([...objectsOf(writeErofs(tree))].sort()).toEqual([DIGEST_A, DIGEST_B]);
  });
});

describe("what cannot be stored is refused, by name", () => {
  const deep = new Map<TreePath, Inode>([[ROOT, DEFAULT_ROOT]]);
  let path: TreePath = ROOT;
  for (let i = 0; i < 20; i++) {
    path = joinPath(path, bytes("d".repeat(255)));
    deep.set(path, { ...common, type: "dir" });
  }
  const many = new Map(Array.from({ length: 20 }, (_, i) => [bytes(`user.${i}`), bytes("v".repeat(2000))]));
  test.each<[string, Tree]>([
    ["a name of 256 bytes", treeOf({ [`/${"n".repeat(256)}`]: { ...common, type: "fifo" } })],
    ["an empty link target", treeOf({ "/l": { ...common, type: "symlink", target: bytes("") } })],
    [
      "a link target of 4096 bytes",
      treeOf({ "/l": { ...common, type: "symlink", target: bytes("t".repeat(4096)) } }),
    ],
    ["a NUL in a link target", treeOf({ "/l": { ...common, type: "symlink", target: bytes("a\0b") } })],
    ["a uid of 2^32", treeOf({ "/f": { ...common, uid: 2 ** 32, type: "fifo" } })],
    ["a fractional time", treeOf({ "/f": { ...common, mtime: { sec: 0.5, nsec: 0 }, type: "fifo" } })],
    ["a major number of 4096", treeOf({ "/f": { ...common, type: "block", major: 4096, minor: 0 } })],
    ["an object of 0 bytes", treeOf({ "/f": file({ kind: "object", digest: DIGEST_A, size: 0 }) })],
    [
      "a file of 2^53 - 1 bytes",
      treeOf({ "/f": file({ kind: "object", digest: DIGEST_A, size: 2 ** 53 - 1 }) }),
    ],
    [
      "inline content over a block",
      treeOf({ "/f": file({ kind: "inline", bytes: bytes("x".repeat(4097)) }) }),
    ],
    [
      "an xattr without name",
      treeOf({ "/f": { ...common, type: "fifo", xattrs: new Map([[bytes(""), bytes("")]]) } }),
    ],
    ["40,000 bytes of xattrs", treeOf({ "/f": { ...common, type: "fifo", xattrs: many } })],
    ["a path of 5,120 bytes", deep],
    ["a path in no directory", treeOf({ "/a/b": { ...common, type: "fifo" } })],
    ["a tree without root", new Map()],
  ])("%s", (_what, tree) => {
    expect(() => writeErofs(tree)).toThrow(AtomfsError);
  });
});

describe("images that are refused", () => {
  const tree = treeOf({
    "/a": { ...common, type: "dir" },
    "/a/b": { ...common, mode: 0o711, type: "dir" },
    "/f": file({ kind: "object", digest: DIGEST_A, size: 5000 }),
  });
  const image = Buffer.from(writeErofs(tree));

  /** Changes bytes of a good image; `edit` gets a copy. */
  function damaged(edit: (copy: Buffer) => void): Buffer {
    const copy = Buffer.from(image);
    edit(copy);
    return copy;
  }

  /** Every entry that leads to the inode with this mode gets another inode number. */
  function redirectEntries(copy: Buffer, mode: number, to: number): void {
    let from = 37;
    while (image.readUInt16LE(from * 32 + 4) !== mode) from++;
    const nid = Buffer.alloc(8);
    nid.writeUInt32LE(from);
    for (let at = copy.indexOf(nid, 1152); at !== -1; at = copy.indexOf(nid, at + 8))
      copy.writeUInt32LE(to, at);
  }

  test.each<[string, Buffer, RegExp]>([
    ["no bytes", Buffer.alloc(0), /cut short/],
    ["another file system", Buffer.alloc(8192), /not a composefs image/],
    ["a newer format", damaged((copy) => copy.writeUInt32LE(2, 12)), /version 2/],
    ["a foreign block size", damaged((copy) => copy.writeUInt8(9, 1036)), /block size/],
    ["features we do not know", damaged((copy) => copy.writeUInt32LE(4, 1104)), /features 4/],
    ["a cut image", image.subarray(0, image.length - 4096), /blocks/],
    ["a root that is no inode", damaged((copy) => copy.writeUInt16LE(0, 1038)), /EROFS image/],
    ["a directory in itself", damaged((copy) => redirectEntries(copy, 0o40711, 36)), /two names|leads to/],
    ["an entry beyond the end", damaged((copy) => redirectEntries(copy, 0o100644, 0x7fffffff)), /outside/],
    [
      "a digest that differs from the object's name",
      damaged((copy) => copy.writeUInt8(7, copy.indexOf("overlay.metacopy") + 16 + 20)),
      /not at an object/,
    ],
    ["data in the image", damaged((copy) => copy.fill(0, copy.indexOf("ffffffff", 1400, "hex"))), /EROFS/],
  ])("%s", (_what, bad, message) => {
    expect(() => readErofs(bad)).toThrow(AtomfsError);
    expect(() => readErofs(bad)).toThrow(message);
  });
});

describe("dumps that are refused", () => {
  const root = "/ 0 40755 2 0 0 0 0.0 - - -\n";
  test.each([
    ["nothing", ""],
    ["no root", "/a 0 10644 1 0 0 0 0.0 - - -\n"],
    ["a line cut short", `${root}/a 0 100644 1 0`],
    ["a path twice", `${root}${root}`],
    ["a path with an empty name", `${root}//a 0 10644 1 0 0 0 0.0 - - -`],
    ["a path out of the root", `${root}/.. 0 10644 1 0 0 0 0.0 - - -`],
    ["a relative path", `${root}a 0 10644 1 0 0 0 0.0 - - -`],
    ["a path below a file", `${root}/a 0 10644 1 0 0 0 0.0 - - -\n/a/b 0 10644 1 0 0 0 0.0 - - -`],
    ["content of another size", `${root}/a 3 100644 1 0 0 0 0.0 - ab -`],
    ["a file without data", `${root}/a 3 100644 1 0 0 0 0.0 - - -`],
    ["data that is no object", `${root}/a 3 100644 1 0 0 0 0.0 xx - -`],
    ["an unknown escape", `${root}/a\\q 0 10644 1 0 0 0 0.0 - - -`],
    ["an unknown type", `${root}/a 0 644 1 0 0 0 0.0 - - -`],
    ["a link to nothing", `${root}/a 0 @100644 1 0 0 0 0.0 /b - -`],
    ["a link to a directory", `${root}/a 0 @40755 1 0 0 0 0.0 / - -`],
    ["a time that is a number", `${root}/a 0 10644 1 0 0 0 1 - - -`],
    ["an xattr without value", `${root}/a 0 10644 1 0 0 0 0.0 - - - user.a`],
  ])("%s", (_what, text) => {
    expect(() => decodeDump(Buffer.from(text))).toThrow(AtomfsError);
  });
});

describe("tables", () => {
  test.each([
    ["composefs header", layout.COMPOSEFS_HEADER, 32],
    ["superblock", layout.SUPERBLOCK, 128],
    ["compact inode", layout.COMPACT_INODE, 32],
    ["extended inode", layout.EXTENDED_INODE, 64],
    ["directory entry", layout.DIRENT, 12],
    ["xattr header", layout.XATTR_HEADER, 12],
    ["xattr entry", layout.XATTR_ENTRY, 4],
  ] as const)("%s has the size that EROFS says", (_name, table, size) => {
    expect(structSize(table)).toBe(size);
  });

  test.each([
    ["", 0, 0x02cc5d05],
    ["abc", 0, 0x32d153ff],
    ["Nobody inspects the spammish repetition", 0, 0xe2293b2f],
  ])("xxh32 of %p", (text, seed, want) => {
    expect(xxh32(Buffer.from(text), seed)).toBe(want);
  });

  test("device numbers are Linux's", () => {
    expect(layout.encodeDevice(1, 3)).toBe(259);
    for (const [major, minor] of [
      [0, 0],
      [4095, 0xfffff],
      [8, 0x12345],
    ] as const) {
      expect(layout.decodeDevice(layout.encodeDevice(major, minor))).toEqual({ major, minor });
    }
  });
});
