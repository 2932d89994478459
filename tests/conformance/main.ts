/**
 * The long suites, one after the other, and what they came to in docs/conformance.md:
 *   npm run conformance [-- PART...]
 * A part that has passed with the very same sources is not run again, so that a run that was cut can be taken up: what is
 * done is in .conformance/. The results go to tests/conformance/results/, the table is made of them.
 * The last line of stdout is `N passed, N failed, N skipped`.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { run } from "../../src/sys/process.ts";
import { addCounts, NO_TESTS } from "../support/junit.ts";
import { printSummary } from "../support/summary.ts";
import { readCounts } from "../vm/plan.ts";
import { Records } from "../vm/records.ts";
import { sourceDigest } from "../vm/work-disk.ts";
import { PARTS, type Part } from "./parts.ts";
import { type Result, updatePage } from "./table.ts";

const REPOSITORY = join(import.meta.dir, "../..");
const STATE = join(REPOSITORY, ".conformance");
const RESULTS = join(import.meta.dir, "results");
const PAGE = join(REPOSITORY, "docs/conformance.md");
/** How a part's output marks what belongs beside its counts. */
const FIGURE = /^FIGURE (.*)$/gm;

const interruption = abortOnSignals();

async function git(...args: readonly string[]): Promise<string> {
  return (await run(["git", ...args], { cwd: REPOSITORY })).stdout.toString().trim();
}

/** The tree that runs. Results of earlier runs are no part of what is tested. */
async function treeHash(): Promise<string> {
  const changed = await git("status", "--porcelain", "--", ".", ":!tests/conformance/results", ":!docs");
  return `${await git("rev-parse", "HEAD^{tree}")}${changed === "" ? "" : "+"}`;
}

/** Its output goes to the terminal and to a file of the state directory. */
async function runPart(part: Part): Promise<Result | undefined> {
  const start = performance.now();
  const tree = await treeHash();
  const log = join(STATE, `${part.name}.log`);
  const writer = Bun.file(log).writer();
  const child = Bun.spawn([...part.argv], {
    cwd: REPOSITORY,
    env: { ...process.env, ...part.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const stop = (): void => child.kill("SIGINT");
  interruption.addEventListener("abort", stop);
  for await (const chunk of child.stdout) {
    writer.write(chunk);
    process.stdout.write(chunk);
  }
  await writer.end();
  const code = await child.exited;
  interruption.removeEventListener("abort", stop);
  const output = readFileSync(log, "utf8");
  const counts = readCounts(output);
  if (interruption.aborted || counts === undefined) return undefined;
  const failed = code !== 0 && counts.failed === 0 ? 1 : counts.failed;
  return {
    part: part.name,
    ...counts,
    failed,
    tree,
    date: new Date().toISOString().slice(0, 10),
    seconds: Math.round((performance.now() - start) / 1000),
    kernel: release(),
    figures: [...output.matchAll(FIGURE)].map(([, text = ""]) => text),
  };
}

function writeResult(result: Result): void {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, `${result.part}.json`), `${JSON.stringify(result, undefined, 2)}\n`);
  const results = PARTS.flatMap(({ name }): Result[] => {
    const file = join(RESULTS, `${name}.json`);
    return existsSync(file) ? [JSON.parse(readFileSync(file, "utf8")) as Result] : [];
  });
  writeFileSync(PAGE, updatePage(readFileSync(PAGE, "utf8"), PARTS, results));
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find((name) => !PARTS.some((part) => part.name === name));
  if (unknown !== undefined) {
    console.error(`error: There is no part "${unknown}"; parts: ${PARTS.map(({ name }) => name).join(" ")}`);
    return 2;
  }
  mkdirSync(STATE, { recursive: true });
  const records = new Records<Result>(STATE, await sourceDigest());
  let counts = NO_TESTS;
  const failed: string[] = [];
  const skipped: string[] = [];
  for (const part of PARTS.filter(({ name }) => names.length === 0 || names.includes(name))) {
    const before = records.read(part.name);
    if (before !== undefined) console.log(`${part.name}: passed before, with the same sources`);
    else console.log(`${part.name}: ${part.argv.join(" ")}`);
    const result = before ?? (await runPart(part));
    if (result === undefined) {
      counts = addCounts(counts, { ...NO_TESTS, failed: 1 });
      failed.push(`${part.name}: did not get to its end`);
    } else {
      if (result.failed === 0) records.write(result);
      writeResult(result);
      counts = addCounts(counts, result);
      failed.push(...result.failedNames.map((name) => `${part.name}: ${name}`));
      skipped.push(...result.skippedNames.map((name) => `${part.name}: ${name}`));
    }
    if (interruption.aborted) break;
  }
  printSummary(counts, { failed, skipped });
  if (interruption.aborted) return 130;
  return counts.failed > 0 || counts.passed === 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
