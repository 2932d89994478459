import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { AtomfsError } from "../core/errors.ts";
import { decompressBytes } from "../formats/gzip/compression.ts";
import { decompress } from "./decompress.ts";

const GIB = 1024 ** 3;
const text = Buffer.from("hello ".repeat(50_000));
const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
const zstd = zstdCompressSync(text);
const gzip = gzipSync(text);

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Every way to decompress must give the same answer. */
async function answers(bytes: Uint8Array, maxOutput = GIB): Promise<string[]> {
  const said = (error: unknown): string => {
    if (error instanceof AtomfsError && error.kind === "bad-data") return error.message;
    throw error;
  };
  const all: string[] = [];
  try {
    all.push(Buffer.from(decompressBytes(bytes, maxOutput)).toString("latin1"));
  } catch (error) {
    all.push(said(error));
  }
  for (const size of [1, 7, 100_000]) {
    const read = Array.fromAsync(decompress(pieces(bytes, size), maxOutput));
    all.push(await read.then((chunks) => Buffer.concat(chunks).toString("latin1"), said));
  }
  return all;
}

describe.each([
  ["gzip", gzip],
  ["zstd", zstd],
])("%s", (_name, packed) => {
  test("one stream, and several as one", async () => {
    for (const answer of await answers(packed)) expect(answer).toBe(text.toString());
    for (const answer of await answers(Buffer.concat([packed, packed])))
      expect(answer).toBe(`${text.toString()}${text.toString()}`);
  });

  test.each([1, 3, 4, 9])("cut off by %d bytes", async (count) => {
    for (const answer of await answers(packed.subarray(0, -count)))
      expect(answer).toMatch(/^Cannot decompress \w+ data: /);
    for (const answer of await answers(Buffer.concat([packed, packed.subarray(0, -count)])))
      expect(answer).toMatch(/^Cannot decompress \w+ data: /);
  });

  test("cut off in its header", async () => {
    for (const answer of await answers(packed.subarray(0, 5))) expect(answer).toMatch(/^Cannot decompress/);
  });

  test.each(["\0".repeat(20), "garbage that is long enough", "\x1f", "\x28\xb5"])(
    "followed by %j",
    async (tail) => {
      for (const answer of await answers(Buffer.concat([packed, Buffer.from(tail, "latin1")])))
        expect(answer).toMatch(/^Cannot decompress \w+ data: /);
    },
  );

  test("longer than the limit", async () => {
    for (const answer of await answers(packed, text.length - 1))
      expect(answer).toContain("limit of 299999 bytes");
    for (const answer of await answers(packed, text.length)) expect(answer).toBe(text.toString());
  });

  test("damaged inside", async () => {
    const damaged = Buffer.from(packed);
    const middle = damaged.length >> 1;
    damaged[middle] = (damaged[middle] ?? 0) ^ 0x55;
    const found = await answers(damaged);
    for (const answer of found) expect(answer).not.toBe(text.toString());
  });

  test("the source's own error is the answer", async () => {
    async function* failing(): AsyncGenerator<Uint8Array, void, void> {
      yield packed;
      throw new AtomfsError("untrusted", "Wrong digest");
    }
    await expect(Array.fromAsync(decompress(failing(), GIB))).rejects.toThrow("Wrong digest");
  });

  test("the source is closed when the consumer stops", async () => {
    let closed = false;
    async function* endless(): AsyncGenerator<Uint8Array, void, void> {
      try {
        for (;;) yield packed;
      } finally {
        closed = true;
      }
    }
    for await (const _chunk of decompress(endless(), GIB)) break;
    expect(closed).toBe(true);
  });
});

test("zstd: skippable frames, content checksum", async () => {
  const { constants } = await import("node:zlib");
  const checked = zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  for (const answer of await answers(Buffer.concat([skippable, checked, skippable])))
    expect(answer).toBe(text.toString());
  for (const answer of await answers(checked.subarray(0, -2))) expect(answer).toContain("cut off");
  for (const answer of await answers(skippable.subarray(0, -1))) expect(answer).toContain("cut off");
});

test("plain bytes pass, within the limit", async () => {
  for (const answer of await answers(Buffer.from("plain"))) expect(answer).toBe("plain");
  for (const answer of await answers(new Uint8Array())) expect(answer).toBe("");
  for (const answer of await answers(Buffer.from("plain"), 4)) expect(answer).toContain("limit of 4 bytes");
});
