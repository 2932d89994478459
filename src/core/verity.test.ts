import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { VerityHasher, verityDigest } from "./verity.ts";

function pattern(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >>> 8) * 7) & 0xff;
  return bytes;
}

describe("verityDigest", () => {
  test("of an empty file is the kernel's, as fsverity-utils and Linux's selftests print it", () => {
    expect(verityDigest(new Uint8Array()) as string).toBe(
      "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95",
    );
  });

  test("equals `fsverity digest` at the sizes where the tree grows a block or a level", () => {
    const directory = mkdtempSync(join(tmpdir(), "atomfs-verity-"));
    try {
      const sizes = [0, 1, 64, 4095, 4096, 4097, 8192, 8193, 524287, 524288, 524289, 1048577];
      sizes.push(128 * 524288, 128 * 524288 + 1);
      for (const size of sizes) writeFileSync(join(directory, `${size}`), pattern(size));
      const output = execFileSync("fsverity", ["digest", "--compact", ...sizes.map(String)], {
        cwd: directory,
        encoding: "utf8",
      });
      expect(sizes.map((size) => verityDigest(pattern(size)) as string)).toEqual(output.trim().split("\n"));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe("VerityHasher", () => {
  test("does not depend on how the bytes are cut into chunks, nor keeps a chunk", () => {
    const whole = pattern(3 * 524288 + 5000);
    const want = verityDigest(whole);
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer({ min: 0, max: 9000 }), fc.constantFrom(1, 4096, 8192, 600_000))),
        (cuts) => {
          const hasher = new VerityHasher();
          let at = 0;
          for (const cut of [...cuts, whole.length]) {
            const chunk = whole.slice(at, at + cut);
            hasher.update(chunk);
            chunk.fill(0xee);
            at += cut;
          }
          return hasher.size === whole.length && hasher.digest() === want;
        },
      ),
      { numRuns: 40 },
    );
  });
});
