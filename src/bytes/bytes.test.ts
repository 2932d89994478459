import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type ByteString, fromBytes } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { Cursor } from "./cursor.ts";
import { FixedWriter } from "./fixed-writer.ts";

describe("Cursor and FixedWriter", () => {
  test("what one writes the other reads", () => {
    const safe = fc.maxSafeInteger();
    fc.assert(
      fc.property(fc.nat(255), fc.nat(65535), fc.nat(2 ** 31), safe, fc.uint8Array(), (a, b, c, d, e) => {
        const writer = new FixedWriter(32 + e.length);
        writer.u8(a);
        writer.align(2);
        writer.u16(b);
        writer.u32(c * 2 - (c > 0 ? 1 : 0));
        writer.u64(Math.abs(d));
        writer.i64(d);
        writer.bytes(e);
        writer.seek(24 + e.length);
        writer.byteString("\u00ff\u0000abcdef" as ByteString);
        const cursor = new Cursor(writer.finish(), "test");
        expect([cursor.u8("a"), cursor.u8("pad"), cursor.u16("b"), cursor.u32("c")]).toEqual([
          a,
          0,
          b,
          c * 2 - (c > 0 ? 1 : 0),
        ]);
        expect([cursor.u64("d"), cursor.i64("d")]).toEqual([Math.abs(d), d]);
        expect(cursor.byteString(e.length, "e")).toBe(fromBytes(e));
        expect(cursor.byteString(8, "f") as string).toBe("\u00ff\u0000abcdef");
        expect(cursor.remaining).toBe(0);
      }),
    );
  });

  test("big-endian numbers", () => {
    const cursor = new Cursor(Uint8Array.of(1, 2, 0, 0, 1, 0, 255, 255, 255, 255, 255, 255, 255, 254), "x", {
      endian: "big",
    });
    expect([cursor.u16("a"), cursor.u32("b"), cursor.i64("c")]).toEqual([0x102, 256, -2]);
  });

  test.each([
    ["u8", (c: Cursor): unknown => c.u8("f")],
    ["u64", (c: Cursor): unknown => c.u64("f")],
    ["bytes", (c: Cursor): unknown => c.bytes(1, "f")],
    ["negative count", (c: Cursor): unknown => c.byteString(-1, "f")],
    ["count that is no number", (c: Cursor): unknown => c.bytes(Number.NaN, "f")],
    ["seek", (c: Cursor): unknown => c.seek(4, "f")],
    ["seek back too far", (c: Cursor): unknown => c.seek(-1, "f")],
  ])("%s behind the end is bad data and names the field", (_name, read) => {
    const cursor = new Cursor(new Uint8Array(3), "thing");
    cursor.skip(3, "all");
    expect(() => read(cursor)).toThrow(AtomfsError);
    expect(() => read(cursor)).toThrow(/^thing: .*\bf\b/);
  });

  test("a 64-bit number that a double cannot hold is refused", () => {
    const bytes = new Uint8Array(8).fill(0xff);
    expect(() => new Cursor(bytes, "x").u64("size")).toThrow(/size is 18446744073709551615, too large/);
    expect(new Cursor(bytes, "x").i64("size")).toBe(-1);
  });

  test("the writer refuses wrong values, overruns, underruns and going back", () => {
    const writer = new FixedWriter(4);
    for (const bad of [-1, 256, 1.5, Number.NaN]) expect(() => writer.u8(bad)).toThrow(RangeError);
    writer.u16(7);
    expect(() => writer.u32(1)).toThrow(RangeError);
    expect(() => writer.u64(1)).toThrow(RangeError);
    expect(() => writer.seek(1)).toThrow(RangeError);
    expect(() => writer.finish()).toThrow(RangeError);
    expect(writer.at).toBe(2);
  });
});
