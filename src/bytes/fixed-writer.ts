import type { ByteString } from "../core/bytestring.ts";

/**
 * Second pass of a two-pass writer: the first has measured, this fills a buffer of exactly that size. Numbers are little-endian.
 * A value that its field cannot hold, or a write that doesn't fit, is a bug of the caller: RangeError.
 */
export class FixedWriter {
  readonly #buffer: Buffer;
  readonly #view: DataView;
  #at = 0;

  constructor(size: number) {
    this.#buffer = Buffer.alloc(size);
    this.#view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset, size);
  }

  get at(): number {
    return this.#at;
  }

  /** Only forward; what is passed over stays zero. */
  seek(offset: number): void {
    if (offset < this.#at) throw new RangeError(`Writer at ${this.#at} asked to go back to ${offset}`);
    this.#take(offset - this.#at);
  }

  u8(value: number): void {
    check(value, 0xff);
    this.#view.setUint8(this.#take(1), value);
  }

  u16(value: number): void {
    check(value, 0xffff);
    this.#view.setUint16(this.#take(2), value, true);
  }

  u32(value: number): void {
    check(value, 0xffffffff);
    this.#view.setUint32(this.#take(4), value, true);
  }

  u64(value: number): void {
    check(value, Number.MAX_SAFE_INTEGER);
    this.#view.setUint32(this.#at, value % 2 ** 32, true);
    this.#view.setUint32(this.#take(8) + 4, Math.floor(value / 2 ** 32), true);
  }

  i64(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`);
    this.#view.setBigInt64(this.#take(8), BigInt(value), true);
  }

  bytes(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#take(bytes.length));
  }

  byteString(text: ByteString): void {
    this.#buffer.write(text, this.#take(text.length), "latin1");
  }

  /** Zeros up to the next multiple of `alignment`, counted from the start of the buffer. */
  align(alignment: number): void {
    this.#take((alignment - (this.#at % alignment)) % alignment);
  }

  /** The whole buffer. @throws RangeError unless it has been filled to its last byte */
  finish(): Uint8Array {
    if (this.#at !== this.#buffer.length) {
      throw new RangeError(`Wrote ${this.#at} bytes, planned ${this.#buffer.length}`);
    }
    return this.#buffer;
  }

  #take(count: number): number {
    const start = this.#at;
    if (count > this.#buffer.length - start) {
      throw new RangeError(`Cannot write ${count} bytes at ${start}: planned ${this.#buffer.length} in all`);
    }
    this.#at = start + count;
    return start;
  }
}

function check(value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${value} does not fit in 0 to ${max}`);
  }
}
