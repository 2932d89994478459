import { expect, test } from "bun:test";
import { type AtCreateOutcome, annotationsOf, outcomeOf } from "./at-create-outcome.ts";

const OUTCOMES: readonly AtCreateOutcome[] = [
  { root: "engine", why: "no-fix", image: "a".repeat(64) },
  { root: "engine", why: "error", error: "a\nb", policy: "on-error=run" },
  { root: "engine", why: "policy", outdated: "b".repeat(64), policy: "outdated=warn" },
  { root: "molecule", why: "fix", molecule: "b".repeat(64), importMs: 1234, findings: ["one", "two; three"] },
];

test.each(OUTCOMES)("an outcome comes back out of its annotations: %j", (outcome) => {
  expect(outcomeOf(annotationsOf(outcome))).toEqual(outcome);
});

test("annotations of others are none of ours", () => {
  expect(outcomeOf({})).toBeUndefined();
  expect(outcomeOf({ "io.atomfs.root": "engine" })).toBeUndefined();
  expect(outcomeOf({ "io.atomfs.root": "other", "io.atomfs.why": "fix" })).toBeUndefined();
  expect(
    outcomeOf({ "io.atomfs.root": "engine", "io.atomfs.why": "no-fix", "io.atomfs.import-ms": "x" }),
  ).toEqual({ root: "engine", why: "no-fix" });
});

test("all annotations are named io.atomfs.*", () => {
  for (const outcome of OUTCOMES)
    for (const key of Object.keys(annotationsOf(outcome))) expect(key).toStartWith("io.atomfs.");
});
