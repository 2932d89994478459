import { expect, test } from "bun:test";
import { isNearlyFull, readSpace } from "./free-space.ts";

test.each([
  [1000, 201, 20, false],
  [1000, 200, 20, false],
  [1000, 199, 20, true],
  [1000, 0, 20, true],
  [1000, 0, 0, false],
  [1000, 999, 100, true],
  // A filesystem that has no blocks, as proc, is never full.
  [0, 0, 20, false],
])("of %d bytes %d available, below %d %: %p", (totalBytes, availableBytes, percent, expected) =>
  expect(isNearlyFull({ totalBytes, availableBytes }, percent)).toBe(expected),
);

test("this machine's filesystem has room", () => {
  const { totalBytes, availableBytes } = readSpace("/");
  expect(totalBytes).toBeGreaterThanOrEqual(availableBytes);
  expect(availableBytes).toBeGreaterThan(0);
});
