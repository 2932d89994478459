import { AtomfsError } from "../../core/errors.ts";
import { type Fields, part, text } from "../json-fields.ts";
import { type NodeReport, parseReport, REPORT_ANNOTATION, shownWord } from "./report.ts";

/*
 * What the nodes say in their annotations, and how far it can be believed. Pure: one node's report never keeps the others' from
 * being read.
 */

/** Three of the timer's intervals: a node that says nothing for so long has no working reports. */
export const STALE_MS: number = 15 * 60_000;

export type NodeProblem = {
  /** Stable words; "lacks-fixes" is the only one that leaves nothing unknown. */
  readonly problem: "no-report" | "bad-report" | "stale" | "unknown-words" | "lacks-fixes";
  /** One sentence, to follow the node's name. */
  readonly text: string;
  /** Of "lacks-fixes": ids of fixes that other nodes have. */
  readonly fixes?: readonly string[];
};

export type NodeStatement = {
  readonly name: string;
  /** Undefined without a report, and for one that cannot be read. */
  readonly report: NodeReport | undefined;
  /** Negative if the node's clock is ahead. */
  readonly ageSeconds: number | undefined;
  readonly problems: readonly NodeProblem[];
};

/**
 * @param nodes objects of core/v1
 * @param now milliseconds since 1970
 */
export function readStatements(nodes: readonly Fields[], now: number): NodeStatement[] {
  const statements = nodes.map((node) => statementOf(node, now));
  // What a node said long ago accuses no other one.
  const fixesOf = ({ report, problems }: NodeStatement): readonly string[] | undefined =>
    problems.some(({ problem }) => problem === "stale") ? undefined : report?.fixes?.ids;
  const all = new Set(statements.flatMap((each) => fixesOf(each) ?? []));
  return statements.map((each) => {
    const own = fixesOf(each);
    const fixes = own === undefined ? [] : [...all].filter((id) => !own.includes(id)).sort();
    if (fixes.length === 0) return each;
    const said = `lacks fix(es) that other nodes have: ${fixes.map(shownWord).join(", ")}`;
    return { ...each, problems: [...each.problems, { problem: "lacks-fixes" as const, text: said, fixes }] };
  });
}

function statementOf(node: Fields, now: number): NodeStatement {
  const metadata = part(node, "metadata");
  const name = text(metadata, "name") ?? "";
  const annotation = text(part(metadata, "annotations"), REPORT_ANNOTATION);
  const silent = (problem: NodeProblem): NodeStatement => ({
    name,
    report: undefined,
    ageSeconds: undefined,
    problems: [problem],
  });
  if (annotation === undefined)
    return silent({ problem: "no-report", text: "has not reported (`atomfs report` there): unknown" });
  try {
    const { report, unknownRoots } = parseReport(annotation);
    const age = now - Date.parse(report.at);
    return {
      name,
      report,
      ageSeconds: Math.round(age / 1000),
      problems: [...staleness(report.at, age), ...newerWords(unknownRoots)],
    };
  } catch (error) {
    if (!(error instanceof AtomfsError)) throw error;
    return silent({ problem: "bad-report", text: `cannot be believed: ${error.message}` });
  }
}

function staleness(at: string, age: number): readonly NodeProblem[] {
  if (Math.abs(age) <= STALE_MS) return [];
  const said =
    age > 0
      ? `last reported ${ageText(age)} ago: what it runs now is unknown (does its timer run \`atomfs report\`?)`
      : `reported at ${shownWord(at)}, which is ${ageText(-age)} ahead: its clock or this machine's is wrong`;
  return [{ problem: "stale", text: said }];
}

function newerWords(roots: readonly string[]): readonly NodeProblem[] {
  if (roots.length === 0) return [];
  const said = `reports what this atomfs does not know (${roots.join(", ")}): is it of a newer version?`;
  return [{ problem: "unknown-words", text: said }];
}

/** "17 min", "3 h", "12 d". */
export function ageText(milliseconds: number): string {
  const minutes = Math.floor(milliseconds / 60_000);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}
