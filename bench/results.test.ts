import { expect, test } from "bun:test";
import { median, percentile95, Results, timeText } from "./results.ts";

test.each([
  [[3], 3],
  [[3, 1, 2], 2],
  [[10, 9, 1, 2], 5.5],
  [[100, 20, 3], 20],
])("median of %p is %p", (values, wanted) => {
  expect(median(values)).toBe(wanted);
});

test.each([
  [[7], 7],
  [Array.from({ length: 50 }, (_, i) => i + 1), 48],
  [Array.from({ length: 100 }, (_, i) => 100 - i), 95],
])("the 95th percentile of %p is %p", (values, wanted) => {
  expect(percentile95(values)).toBe(wanted);
});

test("a peer's ratio is its median over the other's, in the same group", () => {
  const results = new Results();
  results.add("elsewhere", "ours", { ms: 1 });
  for (const ms of [10, 30, 20]) results.add("import", "ours", { ms });
  for (const ms of [50, 70, 60]) results.add("import", "peer", { ms }, { against: "ours" });
  const [, ours, peer] = results.rows;
  expect(ours === undefined ? 0 : results.ratio(ours)).toBeUndefined();
  expect(peer === undefined ? 0 : results.ratio(peer)).toBe(3);
  expect(results.text()).toContain("3.00x");
});

test("columns that nobody measured stay empty", () => {
  const results = new Results();
  results.add("g", "a", { ms: 1500, diskBytes: 2_000_000 });
  const cells = results.text().split("\n").at(-1)?.trim().split(/ {2,}/);
  expect(cells).toEqual(["a", "1", "1.50 s", "1.50 s", "2.0 MB"]);
});

test.each([
  [1.234, "1.23 ms"],
  [12.34, "12 ms"],
  [1234, "1.23 s"],
])("%p ms are shown as %p", (ms, text) => {
  expect(timeText(ms)).toBe(text);
});
