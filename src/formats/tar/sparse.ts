import type { ByteString } from "../../core/bytestring.ts";
import { BLOCK, badTar, MAX_EXTENSION, MAX_SPARSE_SIZE } from "./member.ts";
import { parseNumber } from "./number.ts";

/** Where the stored bytes of a sparse file belong; all between is zeros. Ascending, without overlap. */
export type SparseMap = {
  readonly segments: readonly { readonly offset: number; readonly length: number }[];
  /** The size of the whole file, holes included. */
  readonly size: number;
};

const ZEROS = new Uint8Array(64 * 1024);

/** @throws AtomfsError "bad-data" unless the segments lie within `size`, in order, and hold exactly `stored` bytes */
export function sparseMap(numbers: readonly number[], size: number, stored: number): SparseMap {
  if (size < 0 || size > MAX_SPARSE_SIZE)
    throw badTar(`a sparse file of ${size} bytes is over the limit of ${MAX_SPARSE_SIZE}`);
  if (numbers.length % 2 !== 0) throw badTar("a sparse map has half an entry");
  const segments: { offset: number; length: number }[] = [];
  let end = 0;
  let sum = 0;
  for (let i = 0; i < numbers.length; i += 2) {
    const offset = numbers[i] ?? 0;
    const length = numbers[i + 1] ?? 0;
    if (offset < end || length < 0 || offset + length > size) throw badTar("a sparse map is out of order");
    end = offset + length;
    sum += length;
    if (length > 0) segments.push({ offset, length });
  }
  if (sum !== stored) throw badTar(`a sparse map has ${sum} bytes of data, the member ${stored}`);
  return { segments, size };
}

/** Old GNU format: four entries in the header, more in blocks after it. */
export function* readOldSparse(
  block: Uint8Array,
  stored: number,
): Generator<number, SparseMap, Uint8Array | undefined> {
  const size = parseNumber(block, 483, 12, "sparse size");
  const numbers = oldEntries(block, 386, 4);
  let more = block[482] === 1;
  for (let read = 0; more; read += BLOCK) {
    if (read >= MAX_EXTENSION) throw badTar("a sparse map is too long");
    const next = yield BLOCK;
    if (next === undefined) throw badTar("it ends inside a sparse map");
    numbers.push(...oldEntries(next, 0, 21));
    more = next[504] === 1;
  }
  return sparseMap(numbers, size, stored);
}

function oldEntries(block: Uint8Array, start: number, count: number): number[] {
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) {
    const at = start + i * 24;
    if (block[at] === 0) break;
    numbers.push(
      parseNumber(block, at, 12, "sparse offset"),
      parseNumber(block, at + 12, 12, "sparse length"),
    );
  }
  return numbers;
}

/** PAX format 1.0: decimal lines at the start of the data, padded to a block. Also says how many bytes they took. */
export function* readSparseLines(
  size: number,
  stored: number,
): Generator<number, { readonly map: SparseMap; readonly taken: number }, Uint8Array | undefined> {
  const numbers: number[] = [];
  let wanted = 1;
  let digits = "";
  let taken = 0;
  while (numbers.length < wanted) {
    if (taken + BLOCK > Math.min(stored, MAX_EXTENSION)) throw badTar("a sparse map is too long");
    const block = yield BLOCK;
    if (block === undefined) throw badTar("it ends inside a sparse map");
    taken += BLOCK;
    for (const byte of block) {
      if (numbers.length === wanted) break;
      if (byte !== 0x0a) {
        digits += String.fromCharCode(byte);
        if (digits.length > 16) throw badTar("a sparse map is malformed");
        continue;
      }
      numbers.push(decimal(digits));
      digits = "";
      if (numbers.length === 1) wanted = 1 + 2 * (numbers[0] ?? 0);
    }
  }
  return { map: sparseMap(numbers.slice(1), size, stored - taken), taken };
}

/** PAX formats 0.0 and 0.1: "offset,length,offset,length". */
export function parseSparseList(list: ByteString, size: number, stored: number): SparseMap {
  return sparseMap(list === "" ? [] : list.split(",").map(decimal), size, stored);
}

function decimal(digits: string): number {
  const value = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw badTar("a sparse map is malformed");
  return value;
}

/** The whole file from its stored bytes. The zeros it yields are shared: a consumer must not write to its chunks. */
export async function* expandSparse(
  map: SparseMap,
  stored: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let position = 0;
  let index = 0;
  let used = 0;
  for await (const chunk of stored) {
    let rest = chunk;
    for (let segment = map.segments[index]; segment !== undefined && rest.length > 0; ) {
      yield* zeros(segment.offset + used - position);
      const piece = rest.subarray(0, segment.length - used);
      yield piece;
      rest = rest.subarray(piece.length);
      used += piece.length;
      position = segment.offset + used;
      if (used < segment.length) break;
      used = 0;
      segment = map.segments[++index];
    }
  }
  yield* zeros(map.size - position);
}

function* zeros(count: number): Generator<Uint8Array, void, void> {
  for (let left = count; left > 0; left -= ZEROS.length)
    yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}
