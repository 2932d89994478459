import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, lstatSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { TemporaryStore } from "../../tests/support/temporary-store.ts";
import { fromBytes } from "../core/bytestring.ts";
import type { VerityDigest } from "../core/digest.ts";
import { verityDigest } from "../core/verity.ts";
import { run } from "../sys/process.ts";
import type { ObjectStaging } from "./objects.ts";

let temporary: TemporaryStore;
let staging: ObjectStaging;
beforeEach(() => {
  temporary = new TemporaryStore();
  staging = temporary.store.beginObjects();
});
afterEach(() => {
  staging[Symbol.dispose]();
  temporary[Symbol.dispose]();
});

const pattern = (length: number): Buffer => Buffer.alloc(length, "0123456789abcdefghi");
const pathOf = (digest: VerityDigest): string => temporary.store.layout.object(digest);

/** The same bytes in pieces; the buffer of each piece is overwritten once the next one is asked for. */
function* pieces(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array, void, void> {
  let at = 0;
  for (const length of lengths) {
    const piece = Buffer.from(bytes.subarray(at, at + length));
    at += length;
    yield piece;
    piece.fill(0xee);
  }
  const rest = Buffer.from(bytes.subarray(at));
  yield rest;
  rest.fill(0xee);
}

describe("where content is kept", () => {
  test.each([0, 1, 63, 64])("%d bytes are inline", async (size) => {
    const bytes = pattern(size);
    expect(await staging.put([bytes], size)).toEqual({ kind: "inline", bytes: fromBytes(bytes) });
    expect(await staging.put(pieces(bytes, [0, 7, 0]), size)).toEqual({
      kind: "inline",
      bytes: fromBytes(bytes),
    });
    expect(staging.putBytes(bytes)).toEqual({ kind: "inline", bytes: fromBytes(bytes) });
    staging.publish();
    expect(temporary.list("objects")).toEqual([]);
  });

  test.each([65, 4095, 4096, 4097, 600_000])("%d bytes are an object", async (size) => {
    const bytes = pattern(size);
    const digest = verityDigest(bytes);
    expect(await staging.put([bytes], size)).toEqual({ kind: "object", digest, size });
    staging.publish();
    expect(temporary.store.readObject(digest)).toEqual(bytes);
    expect(lstatSync(pathOf(digest)).mode & 0o7777).toBe(0o400);
  });

  test("any way to cut a file gives the same object", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 0, maxLength: 9000 }),
        fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 5000 })), { maxLength: 8 }),
        async (bytes, lengths) => {
          const whole = staging.putBytes(bytes);
          expect(await staging.put(pieces(bytes, lengths), bytes.length)).toEqual(whole);
          if (whole.kind === "object")
            expect(Buffer.from(staging.read(whole.digest))).toEqual(Buffer.from(bytes));
        },
      ),
      { numRuns: 100 },
    );
  });

  test("streamed digests are those of `fsverity digest`", async () => {
    for (const size of [65, 4096, 4097, 128 * 4096, 128 * 4096 + 1, 3_000_001]) {
      const bytes = pattern(size);
      const content = await staging.put(pieces(bytes, [1, 4095, 70_000, 3]), size);
      const file = temporary.path("tmp", "sample");
      writeFileSync(file, bytes);
      const { stdout } = await run(["fsverity", "digest", "--compact", file]);
      expect(content).toEqual({ kind: "object", digest: stdout.toString().trim() as VerityDigest, size });
    }
  });

  test("an empty piece after the whole file loses nothing", async () => {
    const bytes = pattern(100);
    const content = await staging.put([bytes, new Uint8Array()], 100);
    expect(content).toEqual({ kind: "object", digest: verityDigest(bytes), size: 100 });
  });
});

describe("the size is a promise", () => {
  test.each([
    [10, 9],
    [64, 65],
    [65, 64],
    [200, 199],
    [200, 201],
    [0, 1],
    [9000, 8000],
    [9000, 10_000],
  ])("%d bytes for a header's %d", async (actual, promised) => {
    for (const lengths of [[], [1], [70, 70], [4096]]) {
      await expect(staging.put(pieces(pattern(actual), lengths), promised)).rejects.toMatchObject({
        kind: "bad-data",
        message: expect.stringMatching(actual > promised ? /more bytes/ : /fewer bytes/),
      });
    }
    staging.publish();
    expect(temporary.list("objects")).toEqual([]);
  });

  test("a source without end is not read to its end", async () => {
    let given = 0;
    function* endless(): Generator<Uint8Array, void, void> {
      for (;;) {
        given += 1;
        yield pattern(1000);
      }
    }
    await expect(staging.put(endless(), 5000)).rejects.toMatchObject({ kind: "bad-data" });
    expect(given).toBe(6);
  });

  test("an error of the source is passed on", async () => {
    function* broken(): Generator<Uint8Array, void, void> {
      yield pattern(100);
      throw new Error("broken source");
    }
    await expect(staging.put(broken(), 200)).rejects.toThrow("broken source");
  });
});

describe("deduplication and publishing", () => {
  test("the same bytes twice are one object, counted once", async () => {
    await staging.put([pattern(5000)], 5000);
    await staging.put(pieces(pattern(5000), [100]), 5000);
    staging.putBytes(pattern(5000));
    expect([staging.newBytes, staging.sharedBytes]).toEqual([5000, 10_000]);
    staging.publish();
    staging.putBytes(pattern(5000));
    await staging.put(pieces(pattern(5000), [1]), 5000);
    expect([staging.newBytes, staging.sharedBytes]).toEqual([5000, 20_000]);
    staging.publish();
    expect(temporary.list("objects")).toHaveLength(1);
  });

  test("nothing is visible before publish, and all of it after", async () => {
    const digests = [100, 200, 300].map((size) => {
      const content = staging.putBytes(pattern(size));
      return content.kind === "object" ? content.digest : ("" as VerityDigest);
    });
    expect(temporary.list("objects")).toEqual([]);
    expect(digests.map((digest) => staging.read(digest).length)).toEqual([100, 200, 300]);
    staging.publish();
    expect(digests.every((digest) => existsSync(pathOf(digest)))).toBe(true);
    expect(digests.map((digest) => staging.read(digest).length)).toEqual([100, 200, 300]);
  });

  test("without publish nothing stays", async () => {
    await staging.put(pieces(pattern(5000), [100]), 5000);
    expect(temporary.list("tmp")).toHaveLength(1);
    staging[Symbol.dispose]();
    expect(temporary.list("tmp")).toEqual([]);
    expect(temporary.list("objects")).toEqual([]);
  });

  test("what was published stays when the staging ends", () => {
    staging.putBytes(pattern(5000));
    staging.publish();
    staging.putBytes(pattern(6000));
    staging[Symbol.dispose]();
    expect(temporary.list("tmp")).toEqual([]);
    expect(temporary.list("objects")).toHaveLength(1);
  });
});
