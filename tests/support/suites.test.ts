import { expect, test } from "bun:test";
import { join } from "node:path";
import { chooseSuites, SUITES } from "./suites.ts";

const REPOSITORY = join(import.meta.dir, "../..");

test("without a name all suites are chosen", () => {
  expect(chooseSuites(REPOSITORY, [])).toBe(SUITES);
});

test("a file is chosen as a part of its suite, and in the suites' order", () => {
  const chosen = chooseSuites(REPOSITORY, ["tests/privileged/mounts.test.ts", "style"]);
  expect(chosen).toMatchObject([
    { name: "style" },
    { name: "privileged", globs: ["tests/privileged/mounts.test.ts"], serial: true },
  ]);
});

test("a name that is nothing is said", () => {
  expect(chooseSuites(REPOSITORY, ["unit", "tests/none.test.ts"])).toContain('"tests/none.test.ts"');
});
