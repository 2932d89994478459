import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { type ByteString, fromText } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { compareLibraryNames } from "./compare.ts";
import { decodeLdCache, encodeLdCache, type LdCache, type LdCacheEntry } from "./ldcache.ts";
import { layOutStrings } from "./strings.ts";

const name = fc.stringMatching(/^[a-z.0-9_+-]{1,12}$/).map(fromText);
const entry: fc.Arbitrary<LdCacheEntry> = fc
  .record({
    soname: name,
    path: name,
    flags: fc.constantFrom(1, 3, 0x303, 0x803, 0xa03),
    old: fc.constantFrom(0n, 1n << 50n, 1n << 63n, 5n << 48n),
    hwcaps: fc.option(fc.record({ name, isaLevel: fc.nat(1023) }), { nil: undefined }),
  })
  .map(({ old, ...rest }) => ({ ...rest, legacyHwcap: rest.hwcaps === undefined ? old : 0n }));
const cache: fc.Arbitrary<LdCache> = fc.record({
  entries: fc.array(entry, { maxLength: 30 }),
  generator: name,
  littleEndian: fc.boolean(),
});

describe("ld.so.cache", () => {
  test("of this machine is written again byte for byte", () => {
    expect(existsSync("/etc/ld.so.cache")).toBe(true);
    const bytes = readFileSync("/etc/ld.so.cache");
    const decoded = decodeLdCache(bytes);
    expect(decoded.entries.length).toBeGreaterThan(20);
    expect(Buffer.compare(encodeLdCache(decoded), bytes)).toBe(0);
  });

  test("keeps what it was given, in the loader's order", () => {
    fc.assert(
      fc.property(cache, (value) => {
        const decoded = decodeLdCache(encodeLdCache(value));
        expect(decoded.generator).toBe(value.generator);
        expect(decoded.littleEndian).toBe(value.littleEndian);
        const text = (e: LdCacheEntry): string =>
          [e.soname, e.path, e.flags, e.legacyHwcap, e.hwcaps?.name, e.hwcaps?.isaLevel].join(" ");
        expect(decoded.entries.map(text).sort()).toEqual(value.entries.map(text).sort());
        for (const [i, e] of decoded.entries.entries()) {
          const next = decoded.entries[i + 1];
          if (next !== undefined)
            expect(compareLibraryNames(e.soname, next.soname)).toBeGreaterThanOrEqual(0);
        }
        expect(Buffer.compare(encodeLdCache(decoded), encodeLdCache(value))).toBe(0);
      }),
    );
  });

  test("behind a table of the old format is found", () => {
    const inner = encodeLdCache({
      entries: [
        {
          soname: fromText("liba.so.1"),
          path: fromText("/lib/liba.so.1"),
          flags: 0x303,
          legacyHwcap: 0n,
          hwcaps: undefined,
        },
      ],
      generator: fromText(""),
      littleEndian: true,
    });
    // Old glibc writes no extensions; their place is zero.
    inner[28] = 0;
    const old = Buffer.alloc(16 + 2 * 12);
    old.write("ld.so-1.7.0", "latin1");
    old.writeUInt32LE(2, 12);
    expect(decodeLdCache(Buffer.concat([old, inner])).entries[0]?.path).toBe(fromText("/lib/liba.so.1"));
  });

  test("refuses truncated and foreign files", () => {
    const bytes = encodeLdCache({ entries: [], generator: fromText("someone"), littleEndian: true });
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeLdCache(bytes.subarray(0, length))).toThrow(AtomfsError);
    }
    expect(() => decodeLdCache(Buffer.alloc(100))).toThrow(AtomfsError);
  });
});

describe("compareLibraryNames", () => {
  test("compares runs of digits as numbers, after all other bytes", () => {
    const order = ["libx.so", "libx.so.2", "libx.so.10", "libx2.so", "libx10.so"];
    const sorted = order.map(fromText).sort(compareLibraryNames);
    expect(sorted as string[]).toEqual(order);
    expect(compareLibraryNames(fromText("a01"), fromText("a1"))).toBe(0);
    expect(compareLibraryNames(fromText("a4294967297"), fromText("a1"))).toBe(0);
  });

  test("is antisymmetric", () => {
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(Math.sign(compareLibraryNames(a, b))).toBe(-Math.sign(compareLibraryNames(b, a)) + 0);
      }),
    );
  });
});

test("strings share their tails", () => {
  const texts = ["/lib/liba.so", "liba.so", "a.so", "b.so", ""].map(fromText);
  const { offsets, bytes } = layOutStrings(texts);
  const at = (text: ByteString): string => {
    const offset = offsets.get(text) ?? -1;
    return Buffer.from(bytes).toString("latin1", offset, bytes.indexOf(0, offset));
  };
  for (const text of texts) expect(at(text)).toBe(text);
  expect(bytes.length).toBe("/lib/liba.so".length + 1 + "b.so".length + 1);
});
