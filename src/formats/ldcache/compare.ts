import type { ByteString } from "../../core/bytestring.ts";

const ZERO = 48;
const NINE = 57;

/** A byte as C's `char` of x86: signed. 0 at the end of the string. */
function charAt(text: ByteString, at: number): number {
  const unit = at < text.length ? text.charCodeAt(at) : 0;
  return unit > 127 ? unit - 256 : unit;
}

function isDigit(char: number): boolean {
  return char >= ZERO && char <= NINE;
}

/**
 * The order by which the dynamic linker searches ld.so.cache (glibc, dl-cache.c): as bytes, but runs of digits compare
 * as 32-bit numbers and come after everything else. Not equal to any sort order that a library offers.
 */
export function compareLibraryNames(a: ByteString, b: ByteString): number {
  let i = 0;
  let j = 0;
  while (i < a.length) {
    const left = charAt(a, i);
    const right = charAt(b, j);
    if (isDigit(left) && isDigit(right)) {
      let leftNumber = 0;
      let rightNumber = 0;
      for (; isDigit(charAt(a, i)); i++) leftNumber = (Math.imul(leftNumber, 10) + charAt(a, i) - ZERO) | 0;
      for (; isDigit(charAt(b, j)); j++) rightNumber = (Math.imul(rightNumber, 10) + charAt(b, j) - ZERO) | 0;
      if (leftNumber !== rightNumber) return leftNumber < rightNumber ? -1 : 1;
      continue;
    }
    if (isDigit(left)) return 1;
    if (isDigit(right)) return -1;
    if (left !== right) return left - right;
    i++;
    j++;
  }
  return 0 - charAt(b, j);
}
