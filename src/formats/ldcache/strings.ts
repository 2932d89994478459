import { type ByteString, compareBytes, toBytes } from "../../core/bytestring.ts";

function reversed(text: string): string {
  let result = "";
  for (let i = text.length - 1; i >= 0; i--) result += text.charAt(i);
  return result;
}

/**
 * Lays strings out as glibc's ldconfig does since 2.33 (elf/stringtable.c): sorted by their reversed bytes, greatest
 * first, so that a string which is the tail of the one before it shares its bytes.
 */
export function layOutStrings(texts: Iterable<ByteString>): {
  readonly offsets: ReadonlyMap<ByteString, number>;
  readonly bytes: Uint8Array;
} {
  const sorted = [...new Set(texts)]
    .map((text) => ({ text, key: reversed(text) }))
    .sort((a, b) => compareBytes(b.key, a.key));
  const offsets = new Map<ByteString, number>();
  const chunks: Uint8Array[] = [];
  let previous = { text: "", offset: 0 };
  let end = 0;
  for (const { text } of sorted) {
    const shared = offsets.size > 0 && previous.text.endsWith(text);
    const offset = shared ? previous.offset + previous.text.length - text.length : end;
    if (!shared) {
      chunks.push(toBytes(`${text}\0` as ByteString));
      end = offset + text.length + 1;
    }
    offsets.set(text, offset);
    previous = { text, offset };
  }
  return { offsets, bytes: Buffer.concat(chunks) };
}
