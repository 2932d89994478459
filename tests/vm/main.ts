/**
 * Runs tests in virtual machines with Debian's own kernels (docs/vm-results.md):
 *   npm run test:vm [-- --slice | PART...]     a part is a job, "launcher", or one on one machine, "6.1:launcher"
 *   --list     only says which parts there are, one a line
 *   --resume   leaves out parts that passed already with the very same sources, and counts them as they were
 *   --record   writes the results into docs/vm-results.md
 * The last line of stdout is `N passed, N failed, N skipped`.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { run } from "../../src/sys/process.ts";
import { addCounts, NO_TESTS, type TestCount } from "../support/junit.ts";
import { SUITES, suiteFiles } from "../support/suites.ts";
import { printSummary } from "../support/summary.ts";
import { allMachines, NOT_IN_GUEST, slice, withJobs, withoutParts } from "./machines.ts";
import { type Counts, partNames, type VirtualMachine } from "./plan.ts";
import { type PartRecord, Records } from "./records.ts";
import { updateTable } from "./results-table.ts";
import { runMachine } from "./run-machine.ts";
import { type LxcVersion, sourceDigest, workDisk } from "./work-disk.ts";

const REPOSITORY = join(import.meta.dir, "../..");
const CACHE = process.env["ATOMFS_VM_CACHE"] ?? "/var/cache/atomfs-vm";
const PAGE = join(REPOSITORY, "docs/vm-results.md");
const OPTIONS = ["--slice", "--list", "--resume", "--record"] as const;
type Option = (typeof OPTIONS)[number];

const interruption = abortOnSignals();

function privilegedFiles(): string[] {
  const suite = SUITES.find(({ name }) => name === "privileged");
  return suite?.kind === "tests" ? suiteFiles(REPOSITORY, suite.globs) : [];
}

async function main(words: readonly string[]): Promise<number> {
  const has = (option: Option): boolean => words.includes(option);
  const names = words.filter((word) => !(OPTIONS as readonly string[]).includes(word));
  const whole = allMachines(privilegedFiles());
  const machines = withJobs(has("--slice") ? slice() : whole, names);
  const known = machines.flatMap(({ jobs }) => jobs.map(({ name }) => name)).concat(partNames(machines));
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    console.error(`error: There is no part "${unknown}"; npm run test:vm -- --list tells which there are`);
    return 2;
  }
  if (has("--list")) {
    for (const part of partNames(machines)) console.log(part);
    return 0;
  }
  const before = await run(["git", "describe", "--always", "--dirty=+"], { cwd: REPOSITORY });
  const outcome = await runMachines(machines, has("--resume"));
  if (names.length === 0 && !has("--slice"))
    outcome.skipped.push(...Object.entries(NOT_IN_GUEST).map(([file, why]) => `${file} [${why}]`));
  if (has("--record")) {
    const commit = before.stdout.toString().trim();
    const date = new Date().toISOString().slice(0, 10);
    // One that did not get to its end has no result.
    const rows = outcome.parts
      .filter(({ seconds }) => seconds > 0)
      .map((each) => ({ ...each, commit, date }));
    writeFileSync(PAGE, updateTable(readFileSync(PAGE, "utf8"), rows, partNames(whole)));
  }
  return report(outcome);
}

type Outcome = {
  counts: TestCount;
  readonly parts: PartRecord[];
  readonly failed: string[];
  readonly skipped: string[];
};

async function runMachines(machines: readonly VirtualMachine[], resume: boolean): Promise<Outcome> {
  const outcome: Outcome = { counts: NO_TESTS, parts: [], failed: [], skipped: [] };
  const add = (counts: Counts): void => {
    outcome.counts = addCounts(outcome.counts, counts);
    outcome.failed.push(...counts.failedNames);
    outcome.skipped.push(...counts.skippedNames);
  };
  const addPart = (record: PartRecord): void => {
    outcome.parts.push(record);
    const named = (names: readonly string[]): string[] => names.map((name) => `${record.part}: ${name}`);
    const failedNames = record.failedNames.length > 0 ? named(record.failedNames) : [record.part];
    add({
      ...record,
      failedNames: record.failed > 0 ? failedNames : [],
      skippedNames: named(record.skippedNames),
    });
  };
  mkdirSync(CACHE, { recursive: true });
  const records = new Records(CACHE, await sourceDigest());
  const done = resume ? partNames(machines).flatMap((part) => records.read(part) ?? []) : [];
  const passed = done.filter(({ failed }) => failed === 0);
  for (const record of passed) addPart(record);
  if (passed.length > 0) console.log(`Passed before: ${passed.map(({ part }) => part).join(" ")}`);
  const left = withoutParts(
    machines,
    passed.map(({ part }) => part),
  );
  if (left.length === 0) return outcome;
  for (const { name, jobs } of left)
    console.log(`Debian's ${name}: ${jobs.map((job) => job.name).join(" ")}`);
  const scratch = mkdtempSync(join(CACHE, `run-${process.pid}-`));
  try {
    const start = performance.now();
    const say = (what: string): void =>
      console.log(`[${Math.round((performance.now() - start) / 1000)} s] ${what}`);
    const lxc = left.flatMap(({ jobs }) =>
      jobs.flatMap(({ name }): LxcVersion[] => (name === "lxc-6" ? ["6"] : name === "lxc-7" ? ["7"] : [])),
    );
    const work = await workDisk({ cache: CACHE, directory: scratch, lxc, onStep: say, signal: interruption });
    for (const each of left) {
      const onPart = (record: PartRecord): void => records.write(record);
      const context = { cache: CACHE, scratch, work, say, onPart, signal: interruption };
      const { machine, parts } = await runMachine(each, context);
      add(machine);
      for (const record of parts) addPart(record);
      interruption.throwIfAborted();
    }
  } catch (error) {
    // A machine that cannot be made, or an interruption, is one failure beside those that were counted.
    const why = interruption.aborted ? "interrupted: the rest was not run" : String(error);
    add({ ...NO_TESTS, failed: 1, failedNames: [why], skippedNames: [] });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return outcome;
}

function report({ counts, parts, failed, skipped }: Outcome): number {
  console.log("");
  for (const { part, seconds, ...each } of parts)
    console.log(
      `${part}: ${each.passed} passed, ${each.failed} failed, ${each.skipped} skipped in ${seconds} s`,
    );
  printSummary({ ...counts, skipped: skipped.length }, { skipped, failed });
  if (interruption.aborted) return 130;
  return counts.failed > 0 || counts.passed === 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
