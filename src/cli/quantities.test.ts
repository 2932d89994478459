import { describe, expect, test } from "bun:test";
import { parseByteCount, parseDuration, parsePercent } from "./quantities.ts";

describe("parseDuration", () => {
  test.each([
    ["0", 0],
    ["90s", 90_000],
    ["30m", 1_800_000],
    ["24h", 86_400_000],
    ["7d", 604_800_000],
  ])("%s", (text, milliseconds) => expect(parseDuration(text)).toBe(milliseconds));

  test.each(["", "24", "h", "-1h", "1.5h", "24H", "1h30m", "1GB", "1toString", "9999999999d", " 1h"])(
    "%j is none",
    (text) => expect(() => parseDuration(text)).toThrow("Want a time"),
  );
});

describe("parseByteCount", () => {
  test.each([
    ["0", 0],
    ["3kB", 3000],
    ["500MB", 500_000_000],
    ["2GB", 2_000_000_000],
  ])("%s", (text, bytes) => expect(parseByteCount(text)).toBe(bytes));

  test.each(["1", "1GiB", "1gb", "24h"])("%j is none", (text) =>
    expect(() => parseByteCount(text)).toThrow("Want a size"),
  );
});

describe("parsePercent", () => {
  test.each([
    ["0", 0],
    ["15", 15],
    ["20%", 20],
    ["100%", 100],
  ])("%s", (text, percent) => expect(parsePercent(text)).toBe(percent));

  test.each(["", "%", "101", "-1", "1.5%", "15 %", "1GB"])("%j is none", (text) =>
    expect(() => parsePercent(text)).toThrow("Want a share"),
  );
});
