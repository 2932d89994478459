import fc from "fast-check";
import { type ByteString, fromBytes, joinPath, ROOT, type TreePath } from "../../src/core/bytestring.ts";
import type { VerityDigest } from "../../src/core/digest.ts";
import type { Inode, Tree } from "../../src/core/tree.ts";

/** Bytes that keep trouble likely: separators, escapes, controls, non-UTF-8, order around "." and "/". */
const oddByte: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: 0x61, max: 0x7a }),
  fc.constantFrom(0x01, 0x09, 0x0a, 0x0d, 0x20, 0x2d, 0x2e, 0x30, 0x3d, 0x40, 0x5c, 0x7f, 0x80, 0xc3, 0xff),
);

function byteString(
  byte: fc.Arbitrary<number>,
  minLength: number,
  maxLength: number,
): fc.Arbitrary<ByteString> {
  return fc.array(byte, { minLength, maxLength }).map((bytes) => fromBytes(Uint8Array.from(bytes)));
}

const anyBytes = (maxLength: number): fc.Arbitrary<ByteString> =>
  byteString(fc.integer({ min: 0, max: 255 }), 0, maxLength);

const name: fc.Arbitrary<ByteString> = fc
  .oneof(
    { weight: 6, arbitrary: byteString(oddByte, 1, 12) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 255 }).map((n) => hex2(n)) },
    { weight: 1, arbitrary: byteString(oddByte, 200, 255) },
    {
      weight: 1,
      arbitrary: fc.constantFrom("-", "...", "-x", "..a", "@x").map((text) => text as ByteString),
    },
  )
  .map((text) => (text === "." || text === ".." ? (`${text}x` as ByteString) : text));

function hex2(n: number): ByteString {
  return n.toString(16).padStart(2, "0") as ByteString;
}

/** Without those names of overlayfs that an image cannot tell from what composefs adds for whiteouts. */
const xattrName: fc.Arbitrary<ByteString> = fc
  .oneof(
    fc.constantFrom(
      "security.selinux",
      "security.capability",
      "system.posix_acl_access",
      "system.posix_acl_default",
      "trusted.overlay.metacopy",
      "trusted.overlay.redirect",
      "trusted.overlay.overlay.origin",
      "user.",
      "lustre.lov",
      "plain",
    ),
    byteString(oddByte, 0, 40).map((suffix) => `user.${suffix}`),
    byteString(oddByte, 0, 20).map((suffix) => `trusted.x${suffix}`),
    byteString(oddByte, 240, 250).map((suffix) => `user.${suffix}`),
  )
  .map((text) => text as ByteString);

const xattrValue: fc.Arbitrary<ByteString> = fc.oneof(
  fc.constantFrom("", "a", "b", "ab", "system_u:object_r:etc_t:s0\0").map((text) => text as ByteString),
  anyBytes(30),
  fc.integer({ min: 100, max: 3000 }).map((length) => "v".repeat(length) as ByteString),
);

const xattrs: fc.Arbitrary<ReadonlyMap<ByteString, ByteString>> = fc.oneof(
  { weight: 6, arbitrary: fc.constant(new Map<ByteString, ByteString>()) },
  {
    weight: 4,
    arbitrary: fc.array(fc.tuple(xattrName, xattrValue), { maxLength: 4 }).map((pairs) => new Map(pairs)),
  },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 120, max: 140 })
      .map(
        (count) =>
          new Map(Array.from({ length: count }, (_, i) => [`user.n${i}` as ByteString, "1" as ByteString])),
      ),
  },
);

const id = fc.constantFrom(0, 0, 0, 1000, 65534, 65535, 65536, 4294967295);

const mtime = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom({ sec: 1, nsec: 0 }, { sec: 1, nsec: 5 }, { sec: 2, nsec: 0 }) },
  {
    weight: 1,
    arbitrary: fc.record({
      sec: fc.oneof(fc.integer({ min: 0, max: 4e9 }), fc.constantFrom(-5, 2 ** 33, -(2 ** 40))),
      nsec: fc.integer({ min: 0, max: 999_999_999 }),
    }),
  },
);

const digest = fc
  .oneof(
    fc.constantFrom("ab", "cd"),
    fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 64, maxLength: 64 }),
  )
  .map((text) => text.repeat(32).slice(0, 64) as VerityDigest);

const content = fc.oneof(
  anyBytes(64).map((bytes) => ({ kind: "inline" as const, bytes })),
  fc.record({
    kind: fc.constant("object" as const),
    digest,
    size: fc.oneof(
      fc.integer({ min: 65, max: 2 ** 31 - 1 }),
      fc.constantFrom(4096, 4097, 8192, 2 ** 32, 2 ** 43),
    ),
  }),
);

const target: fc.Arbitrary<ByteString> = fc.oneof(
  byteString(fc.oneof(oddByte, fc.constant(0x2f)), 1, 60),
  fc.constantFrom(1500, 2100, 3900, 4000, 4031, 4032, 4095).map((length) => "t".repeat(length) as ByteString),
);

const device = { major: fc.integer({ min: 0, max: 4095 }), minor: fc.integer({ min: 0, max: 0xfffff }) };

const kind = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant("dir" as const) }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant("file" as const), content }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("symlink" as const), target }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constantFrom("char" as const, "block" as const), ...device }),
  },
  { weight: 2, arbitrary: fc.constant({ type: "char" as const, major: 0, minor: 0 }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom("fifo" as const, "socket" as const) }) },
);

const attributes = { mode: fc.integer({ min: 0, max: 0o7777 }), uid: id, gid: id, mtime, xattrs };

const inode: fc.Arbitrary<Inode> = fc
  .tuple(fc.record(attributes), kind)
  .map(([common, specific]) => ({ ...common, ...specific }));

type Step =
  | { readonly step: "add"; readonly directory: number; readonly name: ByteString; readonly inode: Inode }
  | { readonly step: "link"; readonly directory: number; readonly name: ByteString; readonly file: number }
  | { readonly step: "fill"; readonly directory: number; readonly count: number; readonly width: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({ step: fc.constant("add" as const), directory: fc.nat(), name, inode }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ step: fc.constant("link" as const), directory: fc.nat(), name, file: fc.nat() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      step: fc.constant("fill" as const),
      directory: fc.nat(),
      count: fc.integer({ min: 40, max: 400 }),
      width: fc.integer({ min: 4, max: 60 }),
    }),
  },
);

function buildTree(root: Inode, steps: readonly Step[]): Tree {
  const tree = new Map<TreePath, Inode>([[ROOT, root]]);
  const directories: TreePath[] = [ROOT];
  const files: Inode[] = [];
  const add = (directory: number, base: ByteString, node: Inode): void => {
    const path = joinPath(directories[directory % directories.length] ?? ROOT, base);
    if (tree.has(path) || path.length > 2000) return;
    tree.set(path, node);
    if (node.type === "dir") directories.push(path);
    else files.push(node);
  };
  for (const action of steps) {
    if (action.step === "add") add(action.directory, action.name, action.inode);
    else if (action.step === "link") {
      const file = files[action.file % files.length];
      if (file !== undefined) add(action.directory, action.name, file);
    } else {
      const common = { mode: 0o644, uid: 0, gid: 0, mtime: { sec: 1, nsec: 0 }, xattrs: new Map() };
      const parent = action.directory;
      const size = directories.length;
      for (let i = 0; i < action.count; i++) {
        const base = `${i}`.padStart(action.width, "f") as ByteString;
        add(parent % size, base, { ...common, type: "fifo" });
      }
    }
  }
  return tree;
}

/** Trees with everything that the formats hold: hard links, whiteouts, odd names, large directories, long links. */
export const anyTree: fc.Arbitrary<Tree> = fc
  .tuple(fc.record(attributes), fc.array(step, { maxLength: 60 }))
  .map(([common, steps]) => buildTree({ ...common, type: "dir" }, steps));
