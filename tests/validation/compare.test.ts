import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { appliesTo, compareProgram, type Exception, parseExceptions } from "./compare.ts";
import type { Point } from "./tap.ts";

const points = (passed: readonly string[], failed: readonly string[] = []): Point[] => [
  ...passed.map((name): Point => ({ name, result: "passed" })),
  ...failed.map((name): Point => ({ name, result: "failed" })),
];
const excuse = (race: boolean, ...names: readonly string[]): Exception[] => [
  { program: "p", points: names, reason: "because", race, sinceKernel: "6.8" },
];

test("what runc passes must pass; what it does not pass is no matter", () => {
  const found = compareProgram("p", points(["a", "b"], ["c"]), points(["a", "c"], ["b"]), []);
  expect(found).toEqual({
    passed: ["p: a"],
    failed: ["p: b: runc passes this and crio-lxc does not"],
    skipped: [],
    better: ["p: c"],
  });
});

test("a point that is not reported is not passed", () => {
  expect(compareProgram("p", points(["a"]), [], []).failed.length).toBe(1);
});

test("a listed difference is skipped with its reason", () => {
  const found = compareProgram("p", points(["a"]), points([], ["a"]), excuse(false, "a"));
  expect(found).toMatchObject({ passed: [], failed: [], skipped: ["p: a: because"] });
});

test("what is listed and no difference fails", () => {
  const mended = compareProgram("p", points(["a"]), points(["a"]), excuse(false, "a"));
  expect(mended.failed).toEqual(["p: a: crio-lxc passes this: remove it from the list"]);
  const never = compareProgram("p", points([]), points([]), excuse(false, "a"));
  expect(never.failed).toEqual(["p: a: runc does not pass this either: remove it from the list"]);
});

test("a race proves nothing, whoever wins", () => {
  for (const ours of [points(["a"]), points([], ["a"])]) {
    expect(compareProgram("p", points(["a"]), ours, excuse(true, "a"))).toMatchObject({
      passed: [],
      failed: [],
      skipped: ["p: a: because"],
    });
  }
});

test("an exception may belong to newer kernels", () => {
  const [exception] = excuse(false, "a");
  const found = ["6.1.0-40-amd64", "6.8.0", "6.18.44-x", "7.0.0", "5.10.0"].map(
    (release) => exception !== undefined && appliesTo(exception, release),
  );
  expect(found).toEqual([false, true, true, true, false]);
});

test("the list itself can be read, and names nothing twice", () => {
  const list = parseExceptions(readFileSync(join(import.meta.dir, "exceptions.json"), "utf8"));
  const names = list.flatMap(({ program, points: own }) => own.map((point) => `${program}: ${point}`));
  expect(new Set(names).size).toBe(names.length);
  expect(() =>
    parseExceptions('[{ "program": "p", "points": [], "reason": "none at all but long enough" }]'),
  ).toThrow();
  expect(() => parseExceptions('[{ "program": "p", "points": ["a"], "reason": "" }]')).toThrow();
});
