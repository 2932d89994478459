import { gzipSync, zstdCompressSync } from "node:zlib";
import { decompressBytes } from "../../src/formats/gzip/compression.ts";
import { decompress } from "../../src/sources/decompress.ts";
import { fuzz } from "./harness.ts";

const LIMIT = 100_000;
const text = Buffer.from("some text, some more text\n".repeat(40));
const seeds = [
  gzipSync(text),
  Buffer.concat([gzipSync(text), gzipSync("x")]),
  zstdCompressSync(text),
  Buffer.concat([zstdCompressSync(text), zstdCompressSync("x")]),
];

async function* halves(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes.subarray(0, bytes.length >> 1);
  yield bytes.subarray(bytes.length >> 1);
}

fuzz("decompressBytes", seeds, (bytes) => decompressBytes(bytes, LIMIT));

fuzz("decompress", seeds, async (bytes) => {
  for await (const _chunk of decompress(halves(bytes), LIMIT));
});
