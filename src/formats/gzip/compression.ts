import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { AtomfsError } from "../../core/errors.ts";
import { ZstdFrames } from "../zstd/frames.ts";

export type Compression = "gzip" | "zstd" | "xz" | "none";

/** How many bytes `compressionOf` looks at. */
export const MAGIC_LENGTH = 6;

const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

/** By the first bytes, as the engines do: names and media types of layers are often wrong. */
export function compressionOf(head: Uint8Array): Compression {
  for (const [compression, magic] of MAGICS) {
    if (magic.every((byte, i) => head[i] === byte)) return compression;
  }
  // Zstandard's skippable frames (RFC 8878, 3.1.2) may come first: zstd:chunked files have them.
  if (((head[0] ?? 0) & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18)
    return "zstd";
  return "none";
}

/**
 * Decompresses gzip (several members are one stream) and zstd; other bytes are returned as they are.
 * @throws AtomfsError "bad-data" for xz, for input that is cut off, damaged or followed by other bytes, and for more
 * than `maxOutput` bytes of output
 */
export function decompressBytes(bytes: Uint8Array, maxOutput: number): Uint8Array {
  switch (compressionOf(bytes)) {
    case "gzip":
      return inflated(bytes, maxOutput);
    case "zstd": {
      const frames = new ZstdFrames();
      frames.push(bytes);
      frames.finish();
      return attempt("zstd", maxOutput, () => zstdDecompressSync(bytes, { maxOutputLength: maxOutput }));
    }
    case "xz":
      throw new AtomfsError("bad-data", "Cannot decompress xz data here");
    case "none":
      if (bytes.length > maxOutput) throw tooLong("none", maxOutput);
      return bytes;
  }
}

function inflated(bytes: Uint8Array, maxOutput: number): Uint8Array {
  // With `info` the result is { buffer, engine }, which the type declarations do not know.
  const options = { maxOutputLength: maxOutput, info: true };
  const result = attempt("gzip", maxOutput, () => gunzipSync(bytes, options)) as unknown as {
    readonly buffer: Buffer;
    readonly engine: { readonly bytesWritten: number };
  };
  if (result.engine.bytesWritten !== bytes.length) throw trailingBytes("gzip");
  return result.buffer;
}

function attempt<T>(compression: Compression, maxOutput: number, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof RangeError) throw tooLong(compression, maxOutput);
    throw damaged(compression, error);
  }
}

export function damaged(compression: Compression, cause: unknown): AtomfsError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new AtomfsError("bad-data", `Cannot decompress ${compression} data: ${why}`, { cause });
}

export function trailingBytes(compression: Compression): AtomfsError {
  return new AtomfsError("bad-data", `Cannot decompress ${compression} data: other bytes follow it`);
}

export function tooLong(compression: Compression, maxOutput: number): AtomfsError {
  const what = compression === "none" ? "data" : `decompressed ${compression} data`;
  return new AtomfsError(
    "bad-data",
    `Cannot read ${what}: it is longer than the limit of ${maxOutput} bytes`,
  );
}
