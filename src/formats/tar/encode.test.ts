import { expect, test } from "bun:test";
import fc from "fast-check";
import { type ByteString, fromBytes } from "../../core/bytestring.ts";
import { decodeTar, decodeTarBytes } from "./decode.ts";
import { encodeTar } from "./encode.ts";
import type { TarFile, TarType } from "./member.ts";

const bytes = (least: number, most: number): fc.Arbitrary<ByteString> =>
  fc.uint8Array({ minLength: least, maxLength: most }).map(fromBytes);
const name = (most: number): fc.Arbitrary<ByteString> =>
  bytes(1, most).map((text) => `${text.replaceAll("\0", "n")}x` as ByteString);

const attributes = fc.record({
  path: fc.oneof(name(20), name(300)),
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.oneof(fc.nat(70_000), fc.integer({ min: 2_097_150, max: 0xffffffff })),
  gid: fc.oneof(fc.nat(70_000), fc.integer({ min: 2_097_150, max: 0xffffffff })),
  mtime: fc.record({
    sec: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    nsec: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
  }),
  xattrs: fc
    .array(fc.tuple(name(20), bytes(0, 40)), { maxLength: 3 })
    .map((pairs) => new Map(pairs) as ReadonlyMap<ByteString, ByteString>),
});

const member: fc.Arbitrary<TarFile> = fc
  .tuple(
    attributes,
    fc.constantFrom<TarType>("file", "dir", "symlink", "hardlink", "char", "block", "fifo"),
    fc.oneof(name(20), name(300)),
    fc.uint8Array({ maxLength: 1500 }),
    fc.nat(0xfff),
    fc.nat(0xfffff),
  )
  .map(([common, type, target, content, major, minor]) => {
    const data = type === "file" ? content : new Uint8Array();
    const isDevice = type === "char" || type === "block";
    return {
      ...common,
      type,
      linkTarget: type === "symlink" || type === "hardlink" ? target : ("" as ByteString),
      size: data.length,
      bytes: data,
      major: isDevice ? major : 0,
      minor: isDevice ? minor : 0,
    };
  });

const plain = (files: readonly TarFile[]): unknown =>
  files.map((file) => ({ ...file, bytes: Buffer.from(file.bytes).toString("latin1") }));

test("decodeTarBytes(encodeTar(x)) = x", () => {
  fc.assert(
    fc.property(fc.array(member, { maxLength: 6 }), (members) => {
      expect(plain(decodeTarBytes(encodeTar(members)))).toEqual(plain(members));
    }),
    { numRuns: 300 },
  );
});

test("decodeTar gives the same for any division into chunks", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(member, { maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 1400 }), { minLength: 1, maxLength: 5 }),
      async (members, sizes) => {
        const archive = encodeTar(members);
        async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
          for (let at = 0, i = 0; at < archive.length; i++) {
            const size = sizes[i % sizes.length] ?? 1;
            yield archive.subarray(at, at + size);
            at += size;
          }
        }
        const found: TarFile[] = [];
        for await (const { content, ...header } of decodeTar(chunks())) {
          found.push({ ...header, bytes: Buffer.concat(await Array.fromAsync(content)) });
        }
        expect(plain(found)).toEqual(plain(members));
      },
    ),
    { numRuns: 100 },
  );
});

test("encodeTar() refuses what decoding would change", () => {
  const good: TarFile = {
    path: "a" as ByteString,
    type: "file",
    linkTarget: "" as ByteString,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { sec: 0, nsec: 0 },
    size: 0,
    xattrs: new Map(),
    major: 0,
    minor: 0,
    bytes: new Uint8Array(),
  };
  expect(() => encodeTar([good])).not.toThrow();
  const bad: Partial<TarFile>[] = [
    { path: "" as ByteString },
    { path: "a/" as ByteString },
    { path: "a\0" as ByteString },
    { linkTarget: "x" as ByteString },
    { type: "symlink" },
    { size: 1 },
    { type: "dir", size: 1, bytes: new Uint8Array(1) },
    { major: 1 },
    { mode: 0o10000 },
    { uid: -1 },
  ];
  for (const change of bad) expect(() => encodeTar([{ ...good, ...change }])).toThrow(RangeError);
});
