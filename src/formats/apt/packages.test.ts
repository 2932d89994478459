import { expect, test } from "bun:test";
import { findPackages, parsePackages } from "./packages.ts";

const HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

function stanza(name: string, more = ""): string {
  const file = `Filename: ./pool/${name}.deb\nSize: 3\nSHA256: ${HASH}\n`;
  return `Package: ${name}\nVersion: 1\nArchitecture: amd64\nDescription: x\n Package: fake\n Source: fake\n${more}${file}`;
}

const INDEX = Buffer.from(
  ["\n", stanza("a"), "\n", stanza("a-1", "Source: s (2)\n"), "\n\n", stanza("b", "Source: s\n")].join(""),
);

function names(query: Parameters<typeof findPackages>[1]): string[] {
  return findPackages(INDEX, query).map((each) => each.package);
}

test("finds by package and by source name; a package without Source is its own source", () => {
  expect(parsePackages(INDEX).map((each) => String(each.package))).toEqual(["a", "a-1", "b"]);
  expect(names({ packages: new Set(["a", "b"]) })).toEqual(["a", "b"]);
  expect(names({ sources: new Set(["s"]) })).toEqual(["a-1", "b"]);
  expect(names({ sources: new Set(["a"]) })).toEqual(["a"]);
  expect(names({ sources: new Set(["s"]), packages: new Set(["a"]) })).toEqual(["a", "a-1", "b"]);
  expect(names({ packages: new Set(["fake"]), sources: new Set(["fake"]) })).toEqual([]);
  expect(names({})).toEqual([]);
});

test("says where the package is", () => {
  expect(findPackages(INDEX, { packages: new Set(["a-1"]) })[0]).toMatchObject({
    filename: "pool/a-1.deb",
    size: 3,
    sha256: HASH,
    source: { name: "s", version: "2" },
  } as never);
});

test.each([
  ["a file outside of the archive", stanza("a").replace("./pool", "pool/../..")],
  ["an absolute file", stanza("a").replace("./pool", "/pool")],
  ["no hash", stanza("a").replace(/SHA256.*\n/, "")],
  ["a bad size", stanza("a").replace("Size: 3", "Size: 0x3")],
  ["a stanza that begins otherwise", `Version: 1\n${stanza("a")}`],
  ["a package name that is a path", stanza("../a")],
  ["a giant stanza", stanza("a", `X: ${"x".repeat(1024 * 1024)}\n`)],
])("refuses %s", (_, text) => {
  expect(() => parsePackages(Buffer.from(text))).toThrow(/^Cannot /);
});
