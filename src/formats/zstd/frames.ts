import { AtomfsError } from "../../core/errors.ts";

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;

/** What the walk needs next: skip some bytes, then read some. Input may end only before a frame. */
type Step = { readonly skip: number; readonly read: number; readonly mayEnd: boolean };

/**
 * Walks over the frames and blocks of zstd data (RFC 8878, 3.1) without decompressing them. zlib-style decoders take
 * data that is cut off, or followed by other bytes, without a word; this tells.
 */
export class ZstdFrames {
  readonly #steps: Generator<Step, never, readonly number[]> = frameSteps();
  #step: Step = this.#steps.next([]).value;
  #skip = 0;
  #read: number[] = [];

  /** @throws AtomfsError "bad-data" at a byte that belongs to no frame */
  push(chunk: Uint8Array): void {
    let at = 0;
    for (;;) {
      const skipped = Math.min(this.#skip, chunk.length - at);
      this.#skip -= skipped;
      at += skipped;
      while (this.#read.length < this.#step.read && at < chunk.length && this.#skip === 0)
        this.#read.push(chunk[at++] ?? 0);
      if (this.#skip > 0 || this.#read.length < this.#step.read) return;
      this.#step = this.#steps.next(this.#read).value;
      this.#skip = this.#step.skip;
      this.#read = [];
    }
  }

  /** @throws AtomfsError "bad-data" if a frame is not complete */
  finish(): void {
    if (!this.#step.mayEnd || this.#skip > 0 || this.#read.length > 0) throw badZstd("it is cut off");
  }
}

function* frameSteps(): Generator<Step, never, readonly number[]> {
  let skip = 0;
  let mayEnd = false;
  for (;;) {
    const magic = number(yield { skip, read: 4, mayEnd });
    if (magic === MAGIC) {
      skip = yield* dataFrame();
    } else if ((magic & ~0xf) >>> 0 === SKIPPABLE_MAGIC) {
      skip = number(yield { skip: 0, read: 4, mayEnd: false });
    } else {
      throw badZstd("other bytes follow it");
    }
    mayEnd = true;
  }
}

/** Returns how many bytes of the frame are left to skip: its checksum. */
function* dataFrame(): Generator<Step, number, readonly number[]> {
  const descriptor = number(yield { skip: 0, read: 1, mayEnd: false });
  if ((descriptor & 0x08) !== 0) throw badZstd("a reserved bit is set");
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryId = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  let skip = (singleSegment ? 0 : 1) + dictionaryId + contentSize;
  for (let last = false; !last; ) {
    const header = number(yield { skip, read: 3, mayEnd: false });
    const type = (header >> 1) & 3;
    if (type === 3) throw badZstd("a block has a reserved type");
    // A run-length block is one byte, whatever its size says.
    skip = type === 1 ? 1 : header >> 3;
    last = (header & 1) !== 0;
  }
  return skip + ((descriptor & 0x04) !== 0 ? 4 : 0);
}

function number(littleEndian: readonly number[]): number {
  return littleEndian.reduceRight((value, byte) => value * 256 + byte, 0);
}

function badZstd(why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot decompress zstd data: ${why}`);
}
