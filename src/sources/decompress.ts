import { createGunzip, createZstdDecompress } from "node:zlib";
import { AtomfsError } from "../core/errors.ts";
import {
  type Compression,
  compressionOf,
  damaged,
  MAGIC_LENGTH,
  tooLong,
  trailingBytes,
} from "../formats/gzip/compression.ts";
import { ZstdFrames } from "../formats/zstd/frames.ts";

const OUTPUT_CHUNK = 1024 * 1024;

/**
 * Decompresses gzip and zstd, found by their first bytes; other bytes pass as they are. Reads `chunks` to the end, so
 * that a verifying source gives its verdict before this generator ends; closes it if the consumer stops early.
 * @throws AtomfsError "bad-data" if the data is cut off, damaged, followed by other bytes, xz, or longer than
 * `maxOutput` bytes; and whatever `chunks` throws
 */
export async function* decompress(
  chunks: AsyncIterable<Uint8Array>,
  maxOutput: number,
): AsyncGenerator<Uint8Array, void, void> {
  const source = chunks[Symbol.asyncIterator]();
  try {
    const head = await readHead(source);
    const compression = compressionOf(head);
    let size = 0;
    for await (const chunk of decoded(compression, head, source)) {
      size += chunk.length;
      if (size > maxOutput) throw tooLong(compression, maxOutput);
      yield chunk;
    }
  } finally {
    await source.return?.();
  }
}

async function readHead(source: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array();
  while (head.length < MAGIC_LENGTH) {
    const next = await source.next();
    if (next.done === true) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  return head;
}

function decoded(
  compression: Compression,
  head: Uint8Array,
  source: AsyncIterator<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const whole = withHead(head, source);
  switch (compression) {
    case "gzip":
      return throughEngine("gzip", createGunzip({ chunkSize: OUTPUT_CHUNK }), whole);
    case "zstd":
      return throughEngine("zstd", createZstdDecompress({ chunkSize: OUTPUT_CHUNK }), completeFrames(whole));
    case "xz":
      throw new AtomfsError("bad-data", "Cannot decompress xz data: only gzip and zstd are used for layers");
    case "none":
      return whole;
  }
}

async function* withHead(
  head: Uint8Array,
  source: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  if (head.length > 0) yield head;
  for (let next = await source.next(); next.done !== true; next = await source.next()) yield next.value;
}

async function* completeFrames(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const frames = new ZstdFrames();
  for await (const chunk of chunks) {
    frames.push(chunk);
    yield chunk;
  }
  frames.finish();
}

type Engine = ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;

async function* throughEngine(
  compression: Compression,
  engine: Engine,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const feed = new Feed(engine);
  const feeding = feed.run(chunks);
  try {
    for await (const chunk of engine) yield chunk as Uint8Array;
  } catch (error) {
    throw feed.failure ?? damaged(compression, error);
  } finally {
    engine.destroy();
    await feeding;
  }
  // An engine may call what follows a complete stream its end, and say nothing of the rest.
  if (feed.failure !== undefined) throw feed.failure;
  if (!feed.complete || engine.bytesWritten !== feed.bytes) throw trailingBytes(compression);
}

/** Writes chunks to an engine, never more than it asks for, until both or one of them end. */
class Feed {
  readonly #engine: Engine;
  bytes = 0;
  complete = false;
  /** What the source threw: the cause, where the engine's own error is only the consequence. */
  failure: unknown;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async run(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const engine = this.#engine;
    try {
      for await (const chunk of chunks) {
        if (engine.destroyed || engine.readableEnded) return;
        this.bytes += chunk.length;
        if (!engine.write(chunk)) await drained(engine);
      }
      this.complete = true;
      engine.end();
    } catch (error) {
      this.failure = error;
      engine.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

function drained(engine: Engine): Promise<void> {
  return new Promise((resolve) => {
    const events = ["drain", "close", "end", "error"] as const;
    const done = (): void => {
      for (const event of events) engine.off(event, done);
      resolve();
    };
    for (const event of events) engine.on(event, done);
    if (engine.destroyed || engine.readableEnded) done();
  });
}
