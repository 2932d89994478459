import type { Counts } from "../vm/plan.ts";
import type { Part } from "./parts.ts";

/** What a part came to, as it is checked in: `results/NAME.json`. */
export type Result = Counts & {
  readonly part: string;
  /** git's hash of the whole tree that ran; with a plus sign if there were changes that are in no commit. */
  readonly tree: string;
  /** "2026-11-24" */
  readonly date: string;
  readonly seconds: number;
  /** Of the machine that ran it. */
  readonly kernel: string;
  /** Lines of the run that tell versions and figures of the control. */
  readonly figures: readonly string[];
};

const START = "<!-- made by npm run conformance -->";
const END = "<!-- end -->";

/** The page with the table made anew of these results: a part that has none says so. */
export function updatePage(page: string, parts: readonly Part[], results: readonly Result[]): string {
  const start = page.indexOf(START);
  const end = page.indexOf(END);
  if (start < 0 || end < start) throw new Error(`The page has no "${START}" with "${END}" after it`);
  const rows = parts.map((part) => {
    const result = results.find((each) => each.part === part.name);
    return result === undefined ? `| ${part.name} | no result yet | | | | | |` : rowOf(result);
  });
  const about = parts.map((part) => `- **${part.name}**: ${part.about}`);
  const text = [
    ...about,
    "",
    "| part | passed | failed | skipped | s | tree | date |",
    "|---|---|---|---|---|---|---|",
    ...rows,
    ...results.flatMap(detailsOf),
  ];
  return `${page.slice(0, start)}${START}\n\n${text.join("\n")}\n\n${page.slice(end)}`;
}

function rowOf({ part, passed, failed, skipped, seconds, tree, date }: Result): string {
  return `| ${[part, passed, failed, skipped, seconds, tree.replace(/^([0-9a-f]{12})[0-9a-f]*/, "$1"), date].join(" | ")} |`;
}

function detailsOf({ part, kernel, figures, failedNames, skippedNames }: Result): string[] {
  const listed = (title: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : ["", `${title}:`, "", ...names.map((name) => `- ${name}`)];
  return [
    "",
    `## ${part}`,
    "",
    `On Linux ${kernel}.`,
    ...listed("Versions and figures", figures),
    ...listed("Failed", failedNames),
    ...listed("Skipped", skippedNames),
  ];
}
