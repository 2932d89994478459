import { badTar } from "./member.ts";

const SPACE = 0x20;

/**
 * A number field of a header: octal digits between spaces and NULs (all blank is 0), or, with the top bit set,
 * GNU's base-256 two's complement. The result is a safe integer, negative only from base-256.
 */
export function parseNumber(block: Uint8Array, offset: number, length: number, field: string): number {
  const first = block[offset] ?? 0;
  return (first & 0x80) === 0
    ? parseOctal(block, offset, length, field)
    : parseBase256(block, offset, length, field);
}

function parseOctal(block: Uint8Array, offset: number, length: number, field: string): number {
  let at = offset;
  let end = offset + length;
  while (at < end && (block[at] === SPACE || block[at] === 0)) at++;
  while (end > at && (block[end - 1] === SPACE || block[end - 1] === 0)) end--;
  let value = 0;
  for (; at < end; at++) {
    const byte = block[at] ?? 0;
    if (byte === 0) break;
    const digit = byte - 0x30;
    if (digit < 0 || digit > 7) throw badTar(`${field} of a header is not an octal number`);
    value = value * 8 + digit;
  }
  return value;
}

function parseBase256(block: Uint8Array, offset: number, length: number, field: string): number {
  const negative = ((block[offset] ?? 0) & 0x40) !== 0;
  const flip = negative ? 0xff : 0;
  let value = 0;
  for (let i = 0; i < length; i++) {
    const byte = (block[offset + i] ?? 0) ^ flip;
    value = value * 256 + (i === 0 ? byte & 0x7f : byte);
    if (value > Number.MAX_SAFE_INTEGER) throw badTar(`${field} of a header is out of range`);
  }
  return negative ? -value - 1 : value;
}

/** As octal with a closing NUL. @throws RangeError if it does not fit: the encoder uses PAX records for such values */
export function writeOctal(block: Uint8Array, offset: number, length: number, value: number): void {
  const digits = value.toString(8).padStart(length - 1, "0");
  if (!Number.isSafeInteger(value) || value < 0 || digits.length >= length) {
    throw new RangeError(`Cannot write ${value} as ${length - 1} octal digits`);
  }
  for (let i = 0; i < digits.length; i++) block[offset + i] = digits.charCodeAt(i);
  block[offset + length - 1] = 0;
}

/** The largest number that `writeOctal` takes. */
export function maxOctal(length: number): number {
  return 8 ** (length - 1) - 1;
}
