import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { anyTree } from "../../../tests/arbitrary/tree.ts";
import {
  type ByteString,
  compareBytes,
  fromText,
  ROOT,
  type TreePath,
  treePath,
} from "../../core/bytestring.ts";
import type { Sha256, VerityDigest } from "../../core/digest.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, type FileInode, type Inode, type Tree } from "../../core/tree.ts";
import type { Atom, AtomEntry, AtomOrigin } from "./atom.ts";
import { decodeAtom, encodeAtom } from "./codec.ts";

const DIGEST = "ab".repeat(32) as VerityDigest;
const SHA = "cd".repeat(32) as Sha256;
const identity = {
  name: "libdemo1",
  architecture: "amd64",
  version: "1:2.0~rc1-1",
  source: "demo",
  sourceVersion: "2.0~rc1-1",
};
const common = { mode: 0o644, uid: 0, gid: 0, mtime: { sec: 1_700_000_000, nsec: 5 }, xattrs: EMPTY_XATTRS };
const object: FileInode = { type: "file", ...common, content: { kind: "object", digest: DIGEST, size: 65 } };

const atom: Atom = {
  origin: { kind: "deb", package: identity, deb: SHA },
  control: [
    {
      name: fromText("control"),
      inode: { type: "file", ...common, content: { kind: "inline", bytes: fromText("Package: x\n") } },
    },
  ],
  entries: [
    { path: ROOT, inode: DEFAULT_ROOT },
    { path: treePath("/dev/loop0"), inode: { type: "block", ...common, major: 7, minor: 0 } },
    { path: treePath("/usr/bin/a"), inode: object, link: fromText("/usr/bin/a") },
    { path: treePath("/usr/bin/b"), inode: object, link: fromText("/usr/bin/a") },
    {
      path: "/usr/caf\xe9" as TreePath,
      inode: {
        type: "symlink",
        ...common,
        mtime: { sec: -1, nsec: 0 },
        target: fromText("a/../b"),
        xattrs: new Map([
          [fromText("user.z"), "\0\xff" as ByteString],
          [fromText("user.a"), fromText("")],
        ]),
      },
    },
  ],
};

/** The format of version 1 as docs/formats/atom.md has it: must never change. */
const GOLDEN = [
  '{"atomfs":"atom","version":1,"control":1,"origin":{"kind":"deb","package":{"name":"libdemo1",' +
    '"architecture":"amd64","version":"1:2.0~rc1-1","source":"demo","sourceVersion":"2.0~rc1-1"},' +
    `"deb":"${SHA}"}}`,
  '["control","f",420,0,0,1700000000,5,"=Package: x\\n",[],""]',
  '["","d",493,0,0,0,0,"",[],""]',
  '["/dev/loop0","b",420,0,0,1700000000,5,"7:0",[],""]',
  `["/usr/bin/a","f",420,0,0,1700000000,5,"65 ${DIGEST}",[],"/usr/bin/a"]`,
  `["/usr/bin/b","f",420,0,0,1700000000,5,"65 ${DIGEST}",[],"/usr/bin/a"]`,
  '["/usr/café","l",420,0,0,-1,0,"a/../b",[["user.a",""],["user.z","\\u0000ÿ"]],""]',
  "",
].join("\n");

const golden = (): string[] => GOLDEN.split("\n");
const bytesOf = (lines: readonly string[]): Uint8Array => Buffer.from(lines.join("\n"));

describe("golden", () => {
  test("bytes", () => expect(Buffer.from(encodeAtom(atom)).toString()).toBe(GOLDEN));
  test("id", () => {
    const id = createHash("sha256").update(encodeAtom(atom)).digest("hex");
    expect(id).toBe("f096641bdd62eb736493eb6d24d26b75282fe1ce71dfa8ebda2f3cdbda097a5d");
  });
  test("value", () => expect(decodeAtom(Buffer.from(GOLDEN))).toEqual(atom));
  test("fields in another order give the same bytes", () => {
    const origin: AtomOrigin = {
      deb: SHA,
      package: Object.fromEntries(Object.entries(identity).reverse()) as typeof identity,
      kind: "deb",
    };
    expect(Buffer.from(encodeAtom({ ...atom, origin })).toString()).toBe(GOLDEN);
  });
});

const origins: fc.Arbitrary<AtomOrigin> = fc.oneof(
  fc.constant({ kind: "layer", diffId: SHA } as const),
  fc.record({ name: fc.string({ maxLength: 9 }) }).map(({ name }) => ({
    kind: "installed" as const,
    package: { ...identity, name: Buffer.from(name).toString("latin1") },
  })),
);

function entriesOf(tree: Tree): AtomEntry[] {
  const first = new Map<Inode, TreePath>();
  const shared = new Set<Inode>();
  for (const [path, inode] of tree) {
    if (first.has(inode)) shared.add(inode);
    else first.set(inode, path);
  }
  return [...tree]
    .sort(([a], [b]) => compareBytes(a, b))
    .map(([path, inode]) =>
      shared.has(inode) ? { path, inode, link: first.get(inode) as ByteString } : { path, inode },
    );
}

test("decode(encode(x)) = x, and the bytes of equal atoms are equal", () => {
  fc.assert(
    fc.property(anyTree, origins, (tree, origin) => {
      const value: Atom = { origin, control: [], entries: entriesOf(tree) };
      const bytes = encodeAtom(value);
      const again = decodeAtom(bytes);
      expect(again).toEqual(value);
      expect(encodeAtom(again)).toEqual(bytes);
    }),
    { numRuns: 150 },
  );
});

test("entries out of order are a mistake of the caller", () => {
  expect(() => encodeAtom({ ...atom, entries: atom.entries.toReversed() })).toThrow(TypeError);
  expect(() => encodeAtom({ ...atom, control: [...atom.control, ...atom.control] })).toThrow(TypeError);
});

describe("bad input is refused", () => {
  const replaced = (line: number, from: string | RegExp, to: string): readonly string[] => {
    const lines = golden();
    const text = lines[line] ?? "";
    if (text.replace(from, to) === text) throw new Error(`nothing replaced in ${text}`);
    lines[line] = text.replace(from, to);
    return lines;
  };
  const without = (line: number): string[] => golden().toSpliced(line, 1);
  const CASES: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["nothing", [], /not JSON/],
    ["only a newline", ["", ""], /not JSON|no header/],
    ["no last newline", golden().slice(0, -1), /newline/],
    ["an empty line at the end", [...golden(), ""], /not JSON/],
    ["no header", without(0), /no header/],
    ["a header that is null", ["null", ""], /no header/],
    ["another kind of file", replaced(0, '"atom"', '"molecule"'), /no header/],
    ["another version", replaced(0, '"version":1', '"version":2'), /version 2/],
    ["a version that is text", replaced(0, '"version":1', '"version":"1"'), /version "1"/],
    ["more control members than lines", replaced(0, '"control":1', '"control":9'), /control members/],
    ["a negative number of them", replaced(0, '"control":1', '"control":-1'), /control members/],
    ["half a control member", replaced(0, '"control":1', '"control":0.5'), /control members/],
    ["no origin", replaced(0, /"origin":.*/, '"origin":null}'), /no origin/],
    ["an unknown origin", replaced(0, '"deb","package"', '"rpm","package"'), /origin/],
    ["no package", replaced(0, /"package":\{.*?\}/, '"package":7'), /no package/],
    ["a package without a name", replaced(0, '"name":"libdemo1",', ""), /package name/],
    ["a deb's digest that is none", replaced(0, SHA, "xyz"), /SHA-256/],
    ["a field that nobody knows", replaced(0, /\}$/, ',"extra":1}'), /canonical/],
    [
      "a control member of a layer",
      replaced(0, /"origin":.*/, `"origin":{"kind":"layer","diffId":"${SHA}"}}`),
      /layer has control/,
    ],
    ["a control member with a path", replaced(1, '"control"', '"../control"'), /control member/],
    ["a control member that is a directory", replaced(1, /"f"(.*)"=.*n"/, '"d"$1""'), /control member/],
    ["a control member without a name", replaced(1, '"control"', '""'), /control member/],
    ["a line that is no JSON", replaced(3, "]", ""), /not JSON/],
    ["a line that is no list", replaced(3, /.*/, "{}"), /list of 10/],
    ["too few values", replaced(3, ',""]', "]"), /list of 10/],
    ["too many values", replaced(3, ',""]', ',"",1]'), /list of 10/],
    ["a path that leads out", replaced(3, "/dev/", "/../"), /canonical/],
    ["a path with an empty name", replaced(3, "/dev/", "/dev//"), /canonical/],
    ["a relative path", replaced(3, "/dev", "dev"), /canonical/],
    ["a path with NUL", replaced(3, "loop0", "loop\\u0000"), /canonical/],
    ["a path of wide characters", replaced(3, "loop0", "l\u0100p"), /byte string/],
    ["a path that is a number", replaced(3, '"/dev/loop0"', "1"), /byte string/],
    ["an unknown type", replaced(3, '"b"', '"x"'), /entry type/],
    ["a mode with type bits", replaced(3, "420", "33188"), /mode/],
    ["a negative owner", replaced(3, "420,0,", "420,-1,"), /uid/],
    ["an owner of 33 bits", replaced(3, "420,0,", "420,4294967296,"), /uid/],
    ["an owner that is text", replaced(3, "420,0,", '420,"0",'), /uid/],
    ["a billion nanoseconds", replaced(3, "1700000000,5", "1700000000,1000000000"), /mtime/],
    ["a time beyond 2^53", replaced(3, "1700000000,5", "9007199254740993,5"), /mtime/],
    ["another spelling of a number", replaced(3, "420", "4.2e2"), /canonical/],
    ["a space in the line", replaced(3, ",420", ", 420"), /canonical/],
    ["an escape that was not needed", replaced(3, "loop0", "\\u006coop0"), /canonical/],
    ["no device numbers", replaced(3, "7:0", ""), /device|canonical/],
    ["a device number too large", replaced(3, "7:0", "4096:0"), /device major/],
    ["device numbers in hexadecimal", replaced(3, "7:0", "0x7:0"), /canonical/],
    ["a directory with data", replaced(2, '0,"",[]', '0,"x",[]'), /canonical/],
    ["a directory with a second name", replaced(2, ',""]', ',"/x"]'), /hard link/],
    ["an object of 64 bytes", replaced(4, '"65 ', '"64 '), /file size/],
    ["an object of no size", replaced(4, '"65 ', '" '), /file size/],
    ["an object without a digest", replaced(4, DIGEST, ""), /fs-verity digest/],
    ["a size with a fraction", replaced(4, '"65 ', '"65.5 '), /file size/],
    ["65 bytes inline", replaced(1, "=Package: x\\n", `=${"x".repeat(65)}`), /inline content/],
    ["hard links that differ", replaced(5, "420", "421"), /hard link/],
    ["xattrs that are no list", replaced(6, /\[\[.*\]\]/, "{}"), /xattrs/],
    ["an xattr without a value", replaced(6, '["user.a",""]', '["user.a"]'), /pair/],
    ["xattrs out of order", replaced(6, "user.a", "user.zz"), /canonical/],
    ["an xattr twice", replaced(6, "user.a", "user.z"), /canonical/],
    [
      "entries out of order",
      [...golden().slice(0, 3), ...golden().slice(3, 6).reverse(), ...golden().slice(6)],
      /order/,
    ],
    ["an entry twice", golden().toSpliced(3, 0, golden()[3] ?? ""), /order/],
  ];
  test.each(CASES)("%s", (_, lines, reason) => {
    expect(() => decodeAtom(bytesOf(lines))).toThrow(
      expect.objectContaining({
        name: "AtomfsError",
        kind: "bad-data",
        message: expect.stringMatching(reason),
      }),
    );
  });
  test("bytes that are not UTF-8", () => {
    const bytes = Buffer.from(GOLDEN);
    bytes[bytes.indexOf("libdemo1")] = 0xff;
    expect(() => decodeAtom(bytes)).toThrow(expect.objectContaining({ kind: "bad-data" }));
  });
});
