/**
 * Reads tar archives: v7, ustar, GNU and PAX, bytes in, bytes out. Names and attribute values are never taken for text.
 * Rules and limits: docs/formats/import.md.
 */
import { displayText } from "../../core/bytestring.ts";
import { ChunkReader } from "./chunk-reader.ts";
import { type TarEntry, TarParser, type TarSteps } from "./entries.ts";
import { BLOCK, badTar, type TarFile, type TarMember, type TarOptions } from "./member.ts";
import { expandSparse } from "./sparse.ts";

/**
 * Member by member through an archive. What the consumer leaves of a member's content is skipped. At the end mark the
 * rest of `chunks` is read and dropped, so a verifying source gives its verdict before this generator ends.
 * @throws AtomfsError "bad-data", and whatever `chunks` throws
 */
export async function* decodeTar(
  chunks: AsyncIterable<Uint8Array>,
  options: TarOptions = {},
): AsyncGenerator<TarMember, void, void> {
  const input = new ChunkReader(chunks);
  const parser = new TarParser(options);
  try {
    for (;;) {
      const entry = await readEntry(parser.next(), input);
      if (entry === undefined) break;
      const stored = new StoredContent(input, entry.stored);
      yield {
        ...entry.header,
        content: entry.sparse === undefined ? stored : expandSparse(entry.sparse, stored),
      };
      const left = stored.close() + paddingOf(entry.stored);
      if (input.takeBuffered(left) === undefined) await input.skip(left);
    }
    await input.drain();
  } finally {
    await input.close();
  }
}

/** All members of a small archive. Sparse members are refused. @throws AtomfsError "bad-data" */
export function decodeTarBytes(archive: Uint8Array, options: TarOptions = {}): TarFile[] {
  const parser = new TarParser(options);
  const files: TarFile[] = [];
  let at = 0;
  const take = (count: number): Uint8Array | undefined => {
    if (at === archive.length && count > 0) return undefined;
    if (count > archive.length - at) throw badTar("it is cut off");
    at += count;
    return archive.subarray(at - count, at);
  };
  for (;;) {
    const steps = parser.next();
    let step = steps.next();
    while (step.done !== true) step = steps.next(take(step.value));
    const entry = step.value;
    if (entry === undefined) return files;
    if (entry.sparse !== undefined)
      throw badTar(`${displayText(entry.header.path)} is sparse, which is not supported in a small archive`);
    const padded = take(entry.stored + paddingOf(entry.stored));
    if (padded === undefined) throw badTar("it is cut off");
    files.push({ ...entry.header, bytes: padded.subarray(0, entry.header.size) });
  }
}

async function readEntry(steps: TarSteps, input: ChunkReader): Promise<TarEntry | undefined> {
  let step = steps.next();
  // No await for what is in the current chunk: an archive has a block for each of its files.
  while (step.done !== true) {
    step = steps.next(input.takeBuffered(step.value) ?? (await input.take(step.value)));
  }
  return step.value;
}

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

class StoredContent implements AsyncIterable<Uint8Array> {
  readonly #input: ChunkReader;
  #left: number;
  #closed = false;

  constructor(input: ChunkReader, size: number) {
    this.#input = input;
    this.#left = size;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    if (this.#closed) throw new TypeError("Cannot read a tar member after the next one was asked for");
    while (this.#left > 0) {
      const piece = this.#input.someBuffered(this.#left) ?? (await this.#input.some(this.#left));
      if (piece === undefined) throw badTar("it is cut off");
      this.#left -= piece.length;
      yield piece;
    }
  }

  /** Ends reading. Returns how many bytes are still in the way of the next header. */
  close(): number {
    this.#closed = true;
    return this.#left;
  }
}
