import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { type ByteString, fromText } from "../core/bytestring.ts";
import { getXattr, listXattrs, readXattrs, removeXattr, setXattr } from "./xattr.ts";

let directory = "";
let file = Buffer.alloc(0);
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/atomfs-xattr-");
  file = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xe9])]);
  writeFileSync(file, "");
});
afterAll(() => rmSync(directory, { recursive: true }));

test("values and names are bytes, also empty and not UTF-8", () => {
  const all = new Map<ByteString, ByteString>([
    [fromText("user.empty"), "" as ByteString],
    ["user.\xff" as ByteString, "\0\x80\xff" as ByteString],
    [fromText("trusted.overlay.opaque"), fromText("y")],
  ]);
  for (const [name, value] of all) setXattr(file, name, value);
  expect(readXattrs(file)).toEqual(all);
  for (const name of all.keys()) removeXattr(file, name);
  expect(listXattrs(file)).toEqual([]);
});

test("what is absent is an answer, what cannot be is an error that names file and attribute", () => {
  expect(getXattr(file, fromText("user.none"))).toBeUndefined();
  removeXattr(file, fromText("user.none"));
  expect(getXattr("/proc/self/stat", fromText("user.none"))).toBeUndefined();
  expect(() => setXattr("/proc/self/stat", fromText("user.a"), fromText("b"))).toThrow(
    /Cannot set the attribute user.a of \/proc\/self\/stat: EOPNOTSUPP/,
  );
  expect(() => listXattrs(`${directory}/none`)).toThrow(/ENOENT/);
  expect(() => setXattr(file, "user.a\0b" as ByteString, fromText("b"))).toThrow(/NUL/);
});

test("symlinks are not followed", () => {
  const link = `${directory}/link`;
  symlinkSync(file, link);
  setXattr(link, fromText("trusted.t"), fromText("link"));
  expect(getXattr(file, fromText("trusted.t"))).toBeUndefined();
  expect(getXattr(link, fromText("trusted.t"))).toBe(fromText("link"));
});
