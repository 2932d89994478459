import { badTar } from "./member.ts";

/** A stream of chunks, taken in pieces of any size. Methods without `await` serve what has already arrived. */
export class ChunkReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array();
  #at = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** `count` bytes if the current chunk has them all. */
  takeBuffered(count: number): Uint8Array | undefined {
    const end = this.#at + count;
    if (end > this.#chunk.length) return undefined;
    const piece = this.#chunk.subarray(this.#at, end);
    this.#at = end;
    return piece;
  }

  /** `count` bytes; undefined if the stream ends exactly here. @throws AtomfsError "bad-data" if it ends in between */
  async take(count: number): Promise<Uint8Array | undefined> {
    const pieces: Uint8Array[] = [];
    let have = 0;
    while (have < count) {
      const piece = this.someBuffered(count - have) ?? (await this.some(count - have));
      if (piece === undefined) break;
      pieces.push(piece);
      have += piece.length;
    }
    if (have === 0 && count > 0) return undefined;
    if (have < count) throw badTar("it is cut off");
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
  }

  /** 1 to `most` bytes of the current chunk. */
  someBuffered(most: number): Uint8Array | undefined {
    if (this.#at === this.#chunk.length) return undefined;
    const piece = this.#chunk.subarray(this.#at, this.#at + most);
    this.#at += piece.length;
    return piece;
  }

  /** 1 to `most` bytes; undefined at the stream's end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#at === this.#chunk.length) {
      const next = await this.#chunks.next();
      if (next.done === true) return undefined;
      this.#chunk = next.value;
      this.#at = 0;
    }
    return this.someBuffered(most);
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      const piece = this.someBuffered(left) ?? (await this.some(left));
      if (piece === undefined) throw badTar("it is cut off");
      left -= piece.length;
    }
  }

  /** To the end, so that a source that verifies a digest there can speak. */
  async drain(): Promise<void> {
    this.#chunk = new Uint8Array();
    this.#at = 0;
    while ((await this.#chunks.next()).done !== true);
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
