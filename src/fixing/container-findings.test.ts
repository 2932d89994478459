import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { STATUS_PATH } from "../atoms/dpkg-database.ts";
import { fromBytes, toBytes } from "../core/bytestring.ts";
import { DEFAULT_ROOT, type Tree } from "../core/tree.ts";
import { openDirectoryPath } from "../sys/fd.ts";
import { databaseFindings } from "./container-findings.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "atomfs-findings-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(path: string, text: string): void {
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

const status = (names: readonly string[], version: string): string =>
  names
    .map(
      (name) =>
        `Package: ${name}\nStatus: install ok installed\nArchitecture: all\nVersion: ${version}\nMaintainer: a\nDescription: b\n`,
    )
    .join("\n");

/** The molecule says version 2 of each package, the container version 1. */
function findings(...names: readonly string[]): string[] {
  write(toBytes(STATUS_PATH).toString(), status(names, "1"));
  const ours = fromBytes(Buffer.from(status(names, "2")));
  const tree: Tree = new Map([
    [STATUS_PATH, { ...DEFAULT_ROOT, type: "file", content: { kind: "inline", bytes: ours } }],
  ]);
  using root = openDirectoryPath(directory);
  return databaseFindings(root, tree, () => new Uint8Array());
}

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
const OTHER = md5("other");
const list = (name: string, lines: readonly string[]): void =>
  write(`var/lib/dpkg/info/${name}.md5sums`, `${lines.join("\n")}\n`);

test("files that are not of the version that the database says: three of them, each once", () => {
  for (const name of ["a", "b", "c", "d", "e"]) write(`usr/${name}`, name);
  const wrong = ["a", "a", "b", "c", "d"].map((name) => `${OTHER}  usr/${name}`);
  list("some", [`${md5("e")}  usr/e`, `${OTHER}  usr/missing`, ...wrong.slice(0, 4)]);
  const says =
    "some:all is 1 to the container's package database, but not all its files are of that version:";
  expect(findings("some")).toEqual([`${says} /usr/a, /usr/b, /usr/c`]);
  list("some", wrong);
  expect(findings("some")).toEqual([`${says} /usr/a, /usr/b, /usr/c and others`]);
  list("some", [`${md5("e")}  usr/e`]);
  expect(findings("some")).toEqual([]);
});

test("a large file that is named again and again is measured once", () => {
  write("usr/large", "");
  truncateSync(join(directory, "usr/large"), 64 << 20);
  const sum = Bun.spawnSync(["md5sum", join(directory, "usr/large")])
    .stdout.toString()
    .slice(0, 32);
  list(
    "some",
    Array.from({ length: 1000 }, () => `${sum}  usr/large`),
  );
  expect(findings("some")).toEqual([]);
});

test("what it names in all is bounded, and that is said", () => {
  const paths = Array.from({ length: 9 }, (_, i) => `usr/${i}`);
  for (const path of paths) {
    write(path, "");
    truncateSync(join(directory, path), 200 << 20);
  }
  const sum = Bun.spawnSync(["md5sum", join(directory, "usr/1")])
    .stdout.toString()
    .slice(0, 32);
  list(
    "one",
    paths.map((path) => `${sum}  ${path}`),
  );
  list("two", ["damaged"]);
  const why = "not all its files were compared: the container's package database names too much";
  expect(findings("one", "two")).toEqual(
    ["one", "two"].map((name) => `${name}:all is 1 to the container's package database, but ${why}`),
  );
});
