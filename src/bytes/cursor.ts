import { type ByteString, displayText, fromText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";

/**
 * Reads numbers and byte runs from untrusted bytes, one after the other or after `seek`. Every read is checked:
 * what would end behind the bytes is an AtomfsError "bad-data" that names the input and the field.
 */
export class Cursor {
  readonly #buffer: Buffer;
  readonly #view: DataView;
  readonly #what: string;
  readonly #littleEndian: boolean;
  #at = 0;

  /** @param what names the input in errors, e.g. "EROFS image" */
  constructor(bytes: Uint8Array, what: string, options: { endian?: "little" | "big" } = {}) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
    this.#littleEndian = options.endian !== "big";
  }

  get at(): number {
    return this.#at;
  }

  get length(): number {
    return this.#buffer.length;
  }

  get remaining(): number {
    return this.#buffer.length - this.#at;
  }

  /** Moves to an offset from the start; the end itself is allowed. Offsets that come from the input are welcome. */
  seek(offset: number, field: string): void {
    if (!Number.isInteger(offset) || offset < 0 || offset > this.#buffer.length) {
      throw this.bad(`${field} is at offset ${offset}, outside of its ${this.#buffer.length} bytes`);
    }
    this.#at = offset;
  }

  skip(count: number, field: string): void {
    this.#take(count, field);
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#take(1, field));
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#take(2, field), this.#littleEndian);
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#take(4, field), this.#littleEndian);
  }

  /** @throws AtomfsError "bad-data" also for a value above 2^53 - 1 */
  u64(field: string): number {
    return this.#safe(this.#view.getBigUint64(this.#take(8, field), this.#littleEndian), field);
  }

  /** @throws AtomfsError "bad-data" also for a value beyond 2^53 - 1 either way */
  i64(field: string): number {
    return this.#safe(this.#view.getBigInt64(this.#take(8, field), this.#littleEndian), field);
  }

  /** A view, not a copy. */
  bytes(count: number, field: string): Uint8Array {
    const start = this.#take(count, field);
    return this.#buffer.subarray(start, start + count);
  }

  byteString(count: number, field: string): ByteString {
    const start = this.#take(count, field);
    return this.#buffer.toString("latin1", start, start + count) as ByteString;
  }

  /** An error about this input at the present offset. `problem` may hold names from the input. */
  bad(problem: string): AtomfsError {
    return new AtomfsError(
      "bad-data",
      `${this.#what}: ${displayText(fromText(problem))} (near offset ${this.#at})`,
    );
  }

  #safe(value: bigint, field: string): number {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw this.bad(`${field} is ${value}, too large`);
    return number;
  }

  #take(count: number, field: string): number {
    const start = this.#at;
    if (!(count >= 0 && count <= this.#buffer.length - start)) {
      throw this.bad(`cut short: ${field} needs ${count} bytes, ${this.remaining} are left`);
    }
    this.#at = start + count;
    return start;
  }
}
