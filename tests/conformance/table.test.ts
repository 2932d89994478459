import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PARTS } from "./parts.ts";
import { type Result, updatePage } from "./table.ts";

const PAGE = "# Title\n\nSaid by hand.\n\n<!-- made by npm run conformance -->\nold\n<!-- end -->\nafter\n";
const RESULT: Result = {
  part: "b",
  passed: 3,
  failed: 1,
  skipped: 1,
  failedNames: ["x: wrong"],
  skippedNames: ["y [why]"],
  tree: `${"0123456789abcdef".repeat(2)}01234567+`,
  date: "2026-11-24",
  seconds: 7,
  kernel: "6.12",
  figures: ["runc: 3 passed"],
};

test("the table is made of the results; what is around it stays", () => {
  const parts = ["a", "b"].map((name) => ({ name, about: `about ${name}`, argv: ["true"] as const }));
  const page = updatePage(PAGE, parts, [RESULT]);
  expect(page).toStartWith("# Title\n\nSaid by hand.\n\n<!-- made");
  expect(page).toEndWith("<!-- end -->\nafter\n");
  expect(page).not.toContain("old");
  expect(page).toContain(
    "\n| a | no result yet | | | | | |\n| b | 3 | 1 | 1 | 7 | 0123456789ab+ | 2026-11-24 |\n",
  );
  for (const line of ["- **a**: about a", "- runc: 3 passed", "- x: wrong", "- y [why]"])
    expect(page).toContain(`\n${line}\n`);
  expect(updatePage(page, parts, [RESULT])).toBe(page);
});

test("a page without the place for a table is refused", () => {
  expect(() => updatePage("# Title\n", [], [])).toThrow("made by npm run conformance");
});

test("the page that is checked in is made of the results that are checked in", () => {
  const page = readFileSync(join(import.meta.dir, "../../docs/conformance.md"), "utf8");
  const results = PARTS.flatMap(({ name }): Result[] => {
    const file = join(import.meta.dir, "results", `${name}.json`);
    try {
      return [JSON.parse(readFileSync(file, "utf8")) as Result];
    } catch {
      return [];
    }
  });
  expect(updatePage(page, PARTS, results)).toBe(page);
});
