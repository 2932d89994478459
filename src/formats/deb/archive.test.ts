import { expect, test } from "bun:test";
import { decodeDeb } from "./archive.ts";

function member(name: string, body: string): string {
  const header = `${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}`;
  return `${header}${String(body.length).padEnd(10)}\`\n${body}${body.length % 2 === 1 ? "\n" : ""}`;
}

const BINARY = member("debian-binary", "2.0\n");
const CONTROL = member("control.tar.xz", "ccc");
const DATA = member("data.tar.zst", "dddd");

function decode(...parts: string[]): unknown {
  const { control, data } = decodeDeb(Buffer.from(`!<arch>\n${parts.join("")}`, "latin1"));
  return [control, data].map((part) => [part.name, part.compression, Buffer.from(part.bytes).toString()]);
}

test("decodeDeb() finds both parts", () => {
  const want = [
    ["control.tar.xz", "xz", "ccc"],
    ["data.tar.zst", "zstd", "dddd"],
  ];
  expect(decode(BINARY, CONTROL, DATA)).toEqual(want);
  expect(
    decode(
      member("debian-binary/", "2.1\nmore\n"),
      member("_x", "y"),
      CONTROL,
      member("_y", ""),
      DATA,
      "junk",
    ),
  ).toEqual(want);
  expect(decode(BINARY, member("control.tar", "c"), member("data.tar.gz", "d"))).toEqual([
    ["control.tar", "none", "c"],
    ["data.tar.gz", "gzip", "d"],
  ]);
});

test.each([
  [[CONTROL, DATA], "first member"],
  [[member("debian-binary", "3.0\n"), CONTROL, DATA], "version 2"],
  [[BINARY, DATA], "stands where control.tar"],
  [[BINARY, CONTROL, CONTROL], "stands where data.tar"],
  [[BINARY, CONTROL], "no data.tar"],
  [[BINARY, CONTROL, member("data.tar.bz2", "d")], "data.tar.bz2"],
  [[BINARY, CONTROL, member("data.tartoString", "d")], "stands where"],
  [[BINARY, CONTROL, DATA.slice(0, -1)], "cut off"],
  [[BINARY, CONTROL.slice(0, 30)], "cut off"],
  [[BINARY, CONTROL.replace("`", "x"), DATA], "malformed"],
  [[BINARY, CONTROL.replace("3         `", "-3        `"), DATA], "malformed"],
])("%j is refused", (parts, why) => {
  expect(() => decode(...parts)).toThrow(why);
});

test("what is no ar archive is refused", () => {
  expect(() => decodeDeb(new Uint8Array())).toThrow("not an ar archive");
});
