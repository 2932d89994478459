import { expect, test } from "bun:test";
import { ageText, type NodeStatement, readStatements } from "./node-statements.ts";
import { REPORT_ANNOTATION } from "./report.ts";

const NOW = Date.parse("2026-11-24T01:00:00Z");
const MINUTE = 60_000;

function node(name: string, minutesAgo: number, more: object = {}): object {
  const at = new Date(NOW - minutesAgo * MINUTE).toISOString();
  const annotations = { [REPORT_ANNOTATION]: JSON.stringify({ at, outdated: [], ...more }) };
  return { metadata: { name, annotations } };
}
const fixes = (...ids: readonly string[]): object => ({ fixes: { generation: 1, ids } });
const read = (...nodes: readonly object[]): readonly NodeStatement[] =>
  readStatements(nodes as Parameters<typeof readStatements>[0], NOW);
const problemsOf = (statements: readonly NodeStatement[]): readonly (readonly string[])[] =>
  statements.map(({ problems }) => problems.map(({ problem, text }) => `${problem}: ${text}`));

test("a report is good for three intervals of its timer", () => {
  expect(problemsOf(read(node("n1", 0), node("n2", 15)))).toEqual([[], []]);
  expect(read(node("n1", 15))[0]?.ageSeconds).toBe(15 * 60);
  expect(problemsOf(read(node("n1", 16), node("n2", 3000)))).toEqual([
    [expect.stringContaining("stale: last reported 16 min ago")],
    [expect.stringContaining("stale: last reported 2 d ago")],
  ]);
});

test("one that is from the future tells of a wrong clock", () => {
  expect(problemsOf(read(node("n1", -3), node("n2", -300)))).toEqual([
    [],
    [expect.stringMatching(/^stale: .* 5 h ahead/)],
  ]);
});

test("words of a newer version are named, and the rest of the report counts", () => {
  const known = { namespace: "shop", pod: "p", uid: "u", container: "c", root: "outdated" };
  const [statement] = read(
    node("n1", 1, { outdated: [known, { ...known, root: "molten" }], colour: "blue" }),
  );
  expect(statement?.report?.outdated).toEqual([known] as never);
  expect(problemsOf([statement as NodeStatement])).toEqual([
    [expect.stringMatching(/^unknown-words: .*\(molten\)/)],
  ]);
});

test("a node that lacks another's fix is named with it", () => {
  const found = read(
    node("n1", 1, fixes("a", "b")),
    node("n2", 1, fixes("b")),
    node("n3", 1, fixes()),
    node("n4", 1),
  );
  expect(found.map(({ problems }) => problems.map((each) => each.fixes))).toEqual([
    [],
    [["a"]],
    [["a", "b"]],
    [],
  ]);
  expect(problemsOf(found)[1]).toEqual(["lacks-fixes: lacks fix(es) that other nodes have: a"]);
});

test("but not by what a node said long ago", () => {
  const found = problemsOf(read(node("n1", 60, fixes("old")), node("n2", 1, fixes("new"))));
  expect(found).toEqual([[expect.stringContaining("stale")], []]);
});

test.each([
  [0, "0 min"],
  [119 * MINUTE, "119 min"],
  [120 * MINUTE, "2 h"],
  [48 * 60 * MINUTE, "2 d"],
])("%p ms are %s", (age, text) => expect(ageText(age)).toBe(text));
