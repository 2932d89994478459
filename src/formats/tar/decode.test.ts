import { expect, test } from "bun:test";
import type { ByteString } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { decodeTar, decodeTarBytes } from "./decode.ts";
import { checksum } from "./header.ts";
import type { TarFile, TarOptions } from "./member.ts";

type Block = {
  name?: string;
  flag?: string;
  size?: number | Uint8Array;
  magic?: string;
  patch?: [number, string][];
};

/** A header block made field by field, so that tests can break each. */
function block(options: Block): Uint8Array {
  const bytes = Buffer.alloc(512);
  bytes.write(options.name ?? "f", 0, "latin1");
  bytes.write("0000644\0", 100);
  bytes.write("0000000\0", 108);
  bytes.write("0000000\0", 116);
  if (options.size instanceof Uint8Array) bytes.set(options.size, 124);
  else bytes.write(`${(options.size ?? 0).toString(8).padStart(11, "0")}\0`, 124);
  bytes.write("00000000000\0", 136);
  bytes.write(options.flag ?? "0", 156, "latin1");
  bytes.write(options.magic ?? "ustar\x0000", 257, "latin1");
  for (const [at, text] of options.patch ?? []) bytes.write(text, at, "latin1");
  bytes.write(`${checksum(bytes).toString(8).padStart(6, "0")}\0 `, 148);
  return bytes;
}

function data(text: string): Uint8Array {
  const bytes = Buffer.alloc(Math.ceil(text.length / 512) * 512);
  bytes.write(text, "latin1");
  return bytes;
}

function record(keyword: string, value: string): string {
  const rest = ` ${keyword}=${value}\n`;
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return `${length}${rest}`;
}

function pax(flag: "x" | "g", ...records: [string, string][]): Uint8Array {
  const text = records.map(([keyword, value]) => record(keyword, value)).join("");
  return Buffer.concat([block({ flag, size: text.length }), data(text)]);
}

const END = new Uint8Array(1024);
const decode = (...parts: Uint8Array[]): TarFile[] => decodeTarBytes(Buffer.concat([...parts, END]));
const only = (...parts: Uint8Array[]): TarFile => {
  const files = decode(...parts);
  expect(files).toHaveLength(1);
  return files[0] as TarFile;
};

function refusal(parts: Uint8Array[], options?: TarOptions): string {
  try {
    decodeTarBytes(Buffer.concat(parts), options);
  } catch (error) {
    if (error instanceof AtomfsError && error.kind === "bad-data") return error.message;
    throw error;
  }
  throw new Error("was accepted");
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}

async function streamed(...parts: Uint8Array[]): Promise<string[]> {
  const found: string[] = [];
  for await (const member of decodeTar(once(Buffer.concat([...parts, END])))) {
    found.push(Buffer.concat(await Array.fromAsync(member.content)).toString("latin1"));
  }
  return found;
}

test("types", () => {
  const typeOf = (options: Block): string => only(block(options)).type;
  expect(["0", "\0", "7", "1", "2", "3", "4", "5", "6", "D"].map((flag) => typeOf({ flag }))).toEqual([
    "file",
    "file",
    "file",
    "hardlink",
    "symlink",
    "char",
    "block",
    "dir",
    "fifo",
    "dir",
  ]);
  expect(typeOf({ flag: "\0", name: "old/", magic: "" })).toBe("dir");
  expect(refusal([block({ flag: "M" }), END])).toContain('f has the unknown type "M"');
});

test("names: ustar prefix, GNU has none", () => {
  expect(only(block({ name: "n", patch: [[345, "some/dir"]] })).path).toBe("some/dir/n" as ByteString);
  expect(only(block({ name: "n", magic: "ustar  \0", patch: [[345, "11111"]] })).path).toBe(
    "n" as ByteString,
  );
  expect(only(block({ name: "n".repeat(100) })).path).toHaveLength(100);
});

test("signed checksums are accepted, wrong ones are not", () => {
  const header = Buffer.from(block({ name: "\xe9\xff" }));
  const signed = checksum(header) - 2 * 256;
  header.write(`${signed.toString(8).padStart(6, "0")}\0 `, 148);
  expect(only(header).path).toBe("\xe9\xff" as ByteString);
  header[0] = (header[0] ?? 0) ^ 1;
  expect(refusal([header, END])).toContain("checksum");
});

test("numbers: spaces, base-256, negative times, out of range", () => {
  expect(only(block({ patch: [[108, "   644 \0"]] })).uid).toBe(0o644);
  expect(only(block({ patch: [[108, "\x80\0\0\0\xff\xff\xff\xfe"]] })).uid).toBe(0xfffffffe);
  expect(only(block({ patch: [[136, "\xff".repeat(12)]] })).mtime).toEqual({ sec: -1, nsec: 0 });
  expect(refusal([block({ patch: [[108, "\x80\0\0\x01\0\0\0\0"]] }), END])).toContain("owner out of range");
  expect(refusal([block({ patch: [[108, "\xff".repeat(8)]] }), END])).toContain("owner out of range");
  expect(refusal([block({ patch: [[108, "9\0"]] }), END])).toContain("octal");
  expect(refusal([block({ size: Buffer.from("\xff".repeat(12), "latin1") }), END])).toContain("negative");
  expect(refusal([block({ size: Buffer.from(`\x80${"\x7f".repeat(11)}`, "latin1") }), END])).toContain(
    "range",
  );
});

test("only files have data, whatever a directory's size field says", () => {
  const files = decode(
    block({ flag: "5", name: "d", size: 4096 }),
    block({ name: "f", size: 2 }),
    data("ab"),
  );
  expect(files.map((file) => [file.path as string, file.size])).toEqual([
    ["d", 0],
    ["f", 2],
  ]);
});

test("PAX: local over global over header; an empty value undoes; unknown keys are ignored", () => {
  const files = decode(
    pax("g", ["uid", "7"], ["comment", "x"]),
    pax("x", ["path", "long\xff"], ["gid", "4000000000"], ["mtime", "-1.25"], ["VENDOR.x", "y"]),
    block({ name: "short" }),
    pax("x", ["uid", ""], ["path", ""]),
    block({ name: "b", patch: [[108, "0000011"]] }),
    block({ name: "c" }),
  );
  expect(files.map((f) => [f.path as string, f.uid, f.gid, f.mtime])).toEqual([
    ["long\xff", 7, 4000000000, { sec: -2, nsec: 750_000_000 }],
    ["b", 9, 0, { sec: 0, nsec: 0 }],
    ["c", 7, 0, { sec: 0, nsec: 0 }],
  ]);
});

test("PAX: binary xattr values, GNU's escapes in xattr names", () => {
  const file = only(
    pax("x", ["SCHILY.xattr.security.capability", "\x01\0\0\x02\xff\n="], ["SCHILY.xattr.user.a%3D%25", ""]),
    block({}),
  );
  expect([...file.xattrs] as unknown).toEqual([
    ["security.capability", "\x01\0\0\x02\xff\n="],
    ["user.a=%", ""],
  ]);
});

test.each([
  ["5 a=b\n", "malformed"],
  ["6 a=b\n5", "malformed"],
  ["7 a=b\n", "malformed"],
  ["x a=b\n", "malformed"],
  ["99999999 a=b\n", "malformed"],
  ["5 ab\n", "keyword"],
  ["5 =b\n", "keyword"],
  ["7 a\0=b\n", "NUL"],
  [record("uid", "-1"), "not a number"],
  [record("size", "99999999999999999"), "not a number"],
  [record("mtime", "1.2.3"), "not a time"],
  [record("path", "a\0b"), "NUL"],
  [record("SCHILY.xattr.", "v"), "no name"],
  [record("GNU.sparse.numbytes", "1"), "pairs"],
])("PAX: %j is refused", (text, why) => {
  expect(refusal([block({ flag: "x", size: text.length }), data(text), block({}), END])).toContain(why);
});

test("GNU long names", () => {
  const long = "n".repeat(700);
  const link = only(
    block({ flag: "L", size: 701 }),
    data(`${long}\0`),
    block({ flag: "K", size: 4 }),
    data("tgt\0"),
    block({ flag: "2", name: "n" }),
  );
  expect([link.path as string, link.linkTarget as string]).toEqual([long, "tgt"]);
});

test("extensions: limits and order", () => {
  expect(refusal([block({ flag: "x", size: 1024 * 1024 + 1 }), END])).toContain("limit");
  expect(refusal([pax("x", ["a", "b"]), pax("x", ["a", "b"]), block({}), END])).toContain("two PAX headers");
  expect(refusal([pax("x", ["a", "b"]), END])).toContain("after an extension");
});

test("ends: cut off, lone zero block, missing end mark", () => {
  const file = [block({ size: 600 }), data("x".repeat(600))];
  const whole = Buffer.concat(file);
  for (const cut of [1, 511, 513, 1500]) expect(refusal([whole.subarray(0, cut)])).toContain("cut off");
  expect(refusal([whole])).toContain("cut off");
  expect(refusal([whole, new Uint8Array(512)])).toContain("cut off");
  expect(decodeTarBytes(whole, { endMark: "optional" })).toHaveLength(1);
  expect(refusal([new Uint8Array(512), whole, END])).toContain("lone zero block");
  expect(decodeTarBytes(Buffer.concat([whole, END, Buffer.from("junk")]))).toHaveLength(1);
});

const sparse = "GNU.sparse.";
test.each([
  [
    "0.0",
    pax(
      "x",
      [`${sparse}size`, "10"],
      [`${sparse}numblocks`, "1"],
      [`${sparse}offset`, "4"],
      [`${sparse}numbytes`, "3"],
    ),
    "abc",
  ],
  ["0.1", pax("x", [`${sparse}size`, "10"], [`${sparse}map`, "4,3"]), "abc"],
  [
    "1.0",
    pax("x", [`${sparse}major`, "1"], [`${sparse}minor`, "0"], [`${sparse}realsize`, "10"]),
    `${"1\n4\n3\n".padEnd(512, "\0")}abc`,
  ],
])("sparse %s", async (_format, header, stored) => {
  const parts = [header, block({ size: stored.length }), data(stored), block({ size: 1 }), data("z")];
  expect(await streamed(...parts)).toEqual(["\0\0\0\0abc\0\0\0", "z"]);
  expect(refusal([...parts, END])).toContain("sparse");
});

test("sparse maps must fit their file and their data", () => {
  const map = (size: string, list: string): string =>
    refusal([
      pax("x", [`${sparse}size`, size], [`${sparse}map`, list]),
      block({ size: 3 }),
      data("abc"),
      END,
    ]);
  expect(map("6", "4,3")).toContain("out of order");
  expect(map("10", "4,1,3,2")).toContain("out of order");
  expect(map("10", "4,2")).toContain("3");
  expect(map("10", "4,3,9")).toContain("half");
  expect(map("10", "4,x")).toContain("malformed");
  expect(map("99999999999999", "4,3")).toContain("limit");
});

test("content that is left is skipped; content of an earlier member cannot be read", async () => {
  const archive = Buffer.concat([
    block({ size: 600 }),
    data("x".repeat(600)),
    block({ name: "g", size: 1 }),
    data("g"),
    END,
  ]);
  const names: string[] = [];
  let earlier: AsyncIterable<Uint8Array> | undefined;
  for await (const member of decodeTar(once(archive))) {
    names.push(member.path);
    if (earlier !== undefined) await expect(Array.fromAsync(earlier)).rejects.toThrow(TypeError);
    earlier = member.content;
  }
  expect(names).toEqual(["f", "g"]);
});

test("the source is read to its end, and closed when the consumer stops", async () => {
  let verdict = false;
  let closed = 0;
  async function* source(): AsyncGenerator<Uint8Array, void, void> {
    try {
      yield Buffer.concat([block({}), block({ name: "b" }), END]);
      yield new Uint8Array(9000);
      verdict = true;
    } finally {
      closed++;
    }
  }
  for await (const _member of decodeTar(source()));
  expect([verdict, closed]).toEqual([true, 1]);
  for await (const _member of decodeTar(source())) break;
  expect(closed).toBe(2);
});
