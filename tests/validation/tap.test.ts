import { expect, test } from "bun:test";
import { parseTap } from "./tap.ts";

test("points by name, with their results", () => {
  const text = [
    "TAP version 13",
    "ok 1 - has expected hostname",
    "  ---",
    '  { "stdout": "not ok 1 - of somebody else" }',
    "  ...",
    "not ok 2 - is read-only",
    "ok 3 # SKIP no such thing here",
    "ok 4 - later # TODO",
    "okay, no point",
    "1..4",
  ].join("\n");
  expect(parseTap(text)).toEqual([
    { name: "has expected hostname", result: "passed" },
    { name: "is read-only", result: "failed" },
    { name: "", result: "skipped" },
    { name: "later", result: "skipped" },
  ]);
});

test("one name twice is two points", () => {
  expect(parseTap("ok 1 - found\nnot ok 2 - found\nok 3 - found")).toEqual([
    { name: "found", result: "passed" },
    { name: "found (2)", result: "failed" },
    { name: "found (3)", result: "passed" },
  ]);
});

test("a program without points is judged by its diagnostics", () => {
  expect(parseTap("TAP version 13\n")).toEqual([]);
  expect(parseTap("TAP version 13\n1..0\n")).toEqual([{ name: "reports no error", result: "passed" }]);
  const text = 'TAP version 13\n  ---\n  {\n    "error": "hooks came too late"\n  }\n  ...\n1..0\n';
  expect(parseTap(text)).toEqual([{ name: "reports no error", result: "failed" }]);
});
