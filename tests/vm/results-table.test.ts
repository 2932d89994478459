import { expect, test } from "bun:test";
import { updateTable } from "./results-table.ts";

const HEAD =
  "# Page\n\n| part | passed | failed | skipped | s | commit | date |\n|---|---|---|---|---|---|---|\n";
const TAIL = "\nMore text.\n";

test("a part's row is replaced, others stay, parts without a result say so, what is no part any more goes", () => {
  const old = "| 6.1:a | 1 | 0 | 0 | 9 | abc | 2026-01-01 |\n| 6.1:b | 2 | 0 | 0 | 9 | abc | 2026-01-01 |\n";
  const gone = "| 6.1:gone | 2 | 0 | 0 | 9 | abc | 2026-01-01 |\n| 6.1:c | no result yet | | | | | |\n";
  const row = {
    part: "6.1:b",
    passed: 3,
    failed: 1,
    skipped: 4,
    seconds: 70,
    commit: "def+",
    date: "2026-02-02",
  };
  const made = updateTable(HEAD + old + gone + TAIL, [row], ["6.1:a", "6.1:b", "6.1:c"]);
  expect(made).toBe(
    `${HEAD}| 6.1:a | 1 | 0 | 0 | 9 | abc | 2026-01-01 |
| 6.1:b | 3 | 1 | 4 | 70 | def+ | 2026-02-02 |
| 6.1:c | no result yet | | | | | |
${TAIL}`,
  );
  expect(updateTable(made, [], ["6.1:a", "6.1:b", "6.1:c"])).toBe(made);
});

test("a page without the table is refused", () => {
  expect(() => updateTable("# Page\n", [], [])).toThrow("no table");
});
