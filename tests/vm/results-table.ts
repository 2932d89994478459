import type { PartRecord } from "./records.ts";

/** A part's last result that somebody wrote down. */
export type TableRow = Pick<PartRecord, "part" | "passed" | "failed" | "skipped" | "seconds"> & {
  /** The commit that ran; with a plus sign, and what was not committed yet. */
  readonly commit: string;
  /** "2026-11-24" */
  readonly date: string;
};

const COLUMNS = "| part | passed | failed | skipped | s | commit | date |";
const ROW = /^\| (\S+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\S+) \| (\S+) \|$/;

/** The table in a page, made anew: rows of these parts replaced or added, all others as they were, those that are no part gone. */
export function updateTable(page: string, rows: readonly TableRow[], parts: readonly string[]): string {
  const lines = page.split("\n");
  const start = lines.indexOf(COLUMNS);
  if (start < 0) throw new Error(`There is no table "${COLUMNS}" in the page`);
  const length = lines.slice(start).findIndex((line) => !line.startsWith("|"));
  const end = length < 0 ? lines.length : start + length;
  const known = new Map<string, TableRow>();
  for (const line of lines.slice(start + 2, end)) {
    const row = parseRow(line);
    if (row !== undefined) known.set(row.part, row);
  }
  for (const row of rows) known.set(row.part, row);
  const made = parts.map((part) => {
    const row = known.get(part);
    return row === undefined ? `| ${part} | no result yet | | | | | |` : formatRow(row);
  });
  return [...lines.slice(0, start + 2), ...made, ...lines.slice(end)].join("\n");
}

function parseRow(line: string): TableRow | undefined {
  const [, part = "", passed, failed, skipped, seconds, commit = "", date = ""] = ROW.exec(line) ?? [];
  if (part === "") return undefined;
  return {
    part,
    passed: Number(passed),
    failed: Number(failed),
    skipped: Number(skipped),
    seconds: Number(seconds),
    commit,
    date,
  };
}

function formatRow(row: TableRow): string {
  const { part, passed, failed, skipped, seconds, commit, date } = row;
  return `| ${[part, passed, failed, skipped, seconds, commit, date].join(" | ")} |`;
}
