import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT, type TreePath, treePath } from "../core/bytestring.ts";
import type { VerityDigest } from "../core/digest.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, type Inode } from "../core/tree.ts";
import { verityDigest } from "../core/verity.ts";
import { writeErofs } from "../formats/erofs/writer.ts";
import { checkObjects } from "./whole-objects.ts";

const BYTES = Buffer.alloc(5000, "a");
const DIGEST: VerityDigest = verityDigest(BYTES);

let place = "";
const check = (): void =>
  checkObjects(erofs(), (digest) => join(place, digest), join(place, "m"), join(place, "run/m"));

function erofs(): Uint8Array {
  const content = { kind: "object", digest: DIGEST, size: BYTES.length } as const;
  const file: Inode = {
    ...{
      type: "file",
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: DEFAULT_ROOT.mtime,
      xattrs: EMPTY_XATTRS,
      content,
    },
  };
  return writeErofs(
    new Map<TreePath, Inode>([
      [ROOT, DEFAULT_ROOT],
      [treePath("/file"), file],
    ]),
  );
}

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "atomfs-whole-"));
  writeFileSync(join(place, DIGEST), BYTES);
  writeFileSync(join(place, "m"), "molecule");
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

test("an object that is missing, cut off or too long is damage", () => {
  check();
  rmSync(join(place, "run"), { recursive: true });
  truncateSync(join(place, DIGEST), 100);
  expect(check).toThrow(/has 100 bytes instead of 5000/);
  writeFileSync(join(place, DIGEST), Buffer.alloc(5001));
  expect(check).toThrow(/has 5001 bytes instead of 5000/);
  rmSync(join(place, DIGEST));
  expect(check).toThrow(/is missing/);
  // What failed is asked again, what was mended is whole.
  writeFileSync(join(place, DIGEST), BYTES);
  check();
});

test("the answer is kept for ten minutes, for this very molecule file", () => {
  check();
  rmSync(join(place, DIGEST));
  check();
  utimesSync(join(place, "m"), 1, 1);
  expect(check).toThrow(/is missing/);
});

test.each([
  ["old", -11 * 60_000],
  ["of a clock that was put back", 60 * 60_000],
])("an answer that is %s counts for nothing", (_, offset) => {
  const at = Date.now;
  try {
    Date.now = () => at() + offset;
    check();
  } finally {
    Date.now = at;
  }
  rmSync(join(place, DIGEST));
  expect(check).toThrow(/is missing/);
});
