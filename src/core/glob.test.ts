import { expect, test } from "bun:test";
import { compileGlob } from "./glob.ts";

test.each([
  ["*", "", true],
  ["web*", "web:1.0", true],
  ["web*", "my-web", false],
  ["*/web:?", "localhost/web:1", true],
  ["*/web:?", "localhost/web:12", false],
  ["/usr/share/doc/*", "/usr/share/doc/a/b/copyright", true],
  ["[a-c]x", "bx", true],
  ["[!a-c]x", "bx", false],
  ["[]]", "]", true],
  ["[z-a]", "m", false],
  ["[", "[", true],
  ["\\*", "*", true],
  ["\\*", "x", false],
  ["a.c", "abc", false],
])("glob %s on %s: %p", (glob, text, want) => {
  expect(compileGlob(glob)(text)).toBe(want);
});

test("a pattern of many stars ends", () => {
  expect(compileGlob("*a".repeat(2000))("a".repeat(1999))).toBe(false);
});
