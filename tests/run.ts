/**
 * Runs every suite, or the suites and test files named on the command line, one after the other:
 *   npm test [-- SUITE|FILE...]
 * Shows what a suite wrote only if it failed. The last line of stdout is `N passed, N failed, N skipped`.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addCounts, NO_TESTS, parseJunit, type TestCount } from "./support/junit.ts";
import { patience } from "./support/slowness.ts";
import { chooseSuites, forgottenFiles, SUITES, type Suite, suiteFiles } from "./support/suites.ts";
import { countsText, printSummary } from "./support/summary.ts";

const REPOSITORY = join(import.meta.dir, "..");
/** A process that takes longer hangs. Bun's own limit of a test cannot end a loop that never waits. */
const PROCESS_LIMIT_MS = patience(45 * 60_000);
/** Time for tests to clean up after an interrupt, before they are killed. */
const GRACE_MS = patience(10_000);
const OUTPUT_SHOWN = 200_000;

type Outcome = TestCount & {
  readonly skippedNames: readonly string[];
  readonly complaints: readonly string[];
};

type Ended = { readonly code: number | null; readonly signal: string | null; readonly output: string };

const scratch = mkdtempSync(join(tmpdir(), "atomfs-suites-"));
let current: Bun.Subprocess | undefined;
let interrupted = false;

/** Signals the child and what it started: it leads a process group. */
function signalGroup(child: Bun.Subprocess, signal: "SIGINT" | "SIGKILL"): void {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended.
  }
}

/** The output goes to a file, not a pipe: something that a test left running would keep a pipe open forever. */
async function runProcess(argv: readonly string[]): Promise<Ended> {
  const log = join(scratch, "output");
  const out = openSync(log, "w");
  const child = Bun.spawn([...argv], {
    cwd: REPOSITORY,
    stdin: "ignore",
    stdout: out,
    stderr: out,
    detached: true,
  });
  closeSync(out);
  current = child;
  const limit = setTimeout(() => signalGroup(child, "SIGKILL"), PROCESS_LIMIT_MS);
  await child.exited;
  clearTimeout(limit);
  current = undefined;
  // What a test left running must not disturb the next one. Containers have sessions of their own.
  signalGroup(child, "SIGKILL");
  return {
    code: child.exitCode,
    signal: child.signalCode === null ? null : String(child.signalCode),
    output: readFileSync(log, "utf8"),
  };
}

function showOutput(ended: Ended): void {
  const cut = ended.output.length > OUTPUT_SHOWN;
  process.stdout.write(`${cut ? "[...]\n" : ""}${ended.output.slice(-OUTPUT_SHOWN).trimEnd()}\n\n`);
}

function ending(ended: Ended): string {
  return ended.signal === null ? `exit code ${ended.code}` : `signal ${ended.signal}`;
}

async function runCheck(argv: readonly [string, ...string[]]): Promise<Outcome> {
  const ended = await runProcess([join(REPOSITORY, "node_modules/.bin", argv[0]), ...argv.slice(1)]);
  const ok = ended.code === 0;
  if (!ok) showOutput(ended);
  return {
    ...NO_TESTS,
    passed: ok ? 1 : 0,
    failed: ok ? 0 : 1,
    skippedNames: [],
    complaints: ok ? [] : [`${argv[0]} ended with ${ending(ended)}`],
  };
}

/**
 * One `bun test`. Bun's report omits files that did not load, that ended the process and that have no test, some of
 * them with exit code 0: each of those counts as one failure.
 */
async function runFiles(files: readonly string[], timeoutMs: number, serial: boolean): Promise<Outcome> {
  const reportFile = join(scratch, "report.xml");
  rmSync(reportFile, { force: true });
  const argv = [process.execPath, "test", "--only-failures", "--timeout", String(timeoutMs)];
  if (serial) argv.push("--max-concurrency", "1");
  argv.push("--reporter=junit", `--reporter-outfile=${reportFile}`, ...files.map((file) => `./${file}`));
  const ended = await runProcess(argv);
  const xml = Bun.file(reportFile);
  const report = parseJunit((await xml.exists()) ? await xml.text() : "");
  const complaints = files
    .filter((file) => !report.files.has(file))
    .map((file) => `${file} did not run to its end, or has no test (${ending(ended)})`);
  if (ended.code !== 0 && complaints.length === 0 && report.failed === 0) {
    complaints.push(`${files.join(" ")}: no test failed, but bun test ended with ${ending(ended)}`);
  }
  const failed = report.failed + complaints.length;
  if (failed > 0) showOutput(ended);
  return {
    passed: report.passed,
    failed,
    skipped: report.skipped,
    skippedNames: report.skippedNames,
    complaints: [...report.failedNames, ...complaints],
  };
}

async function runSuite(suite: Suite): Promise<Outcome> {
  if (suite.kind === "check") return await runCheck(suite.argv);
  const files = suiteFiles(REPOSITORY, suite.globs);
  if (files.length === 0) {
    return {
      ...NO_TESTS,
      failed: 1,
      skippedNames: [],
      complaints: [`no test file ${suite.globs.join(", ")}`],
    };
  }
  const batches = suite.serial ? files.map((file) => [file]) : [files];
  let total: Outcome = { ...NO_TESTS, skippedNames: [], complaints: [] };
  for (const batch of batches) {
    if (interrupted) break;
    const outcome = await runFiles(batch, patience(suite.timeoutMs), suite.serial);
    total = {
      ...addCounts(total, outcome),
      skippedNames: [...total.skippedNames, ...outcome.skippedNames],
      complaints: [...total.complaints, ...outcome.complaints],
    };
  }
  return total;
}

function onSignal(): void {
  interrupted = true;
  const child = current;
  if (child === undefined) return;
  signalGroup(child, "SIGINT");
  setTimeout(() => signalGroup(child, "SIGKILL"), GRACE_MS).unref();
}

async function main(names: readonly string[]): Promise<number> {
  const suites = chooseSuites(REPOSITORY, names);
  if (typeof suites === "string") {
    console.error(`error: ${suites}. Suites:`);
    for (const suite of SUITES) console.error(`  ${suite.name.padEnd(12)}${suite.about}`);
    return 2;
  }
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);

  let total: TestCount = NO_TESTS;
  const skipped: string[] = [];
  const failed: string[] = [];
  for (const suite of suites) {
    if (interrupted) break;
    if (process.stdout.isTTY) process.stdout.write(`${suite.name}...\r`);
    const start = performance.now();
    const outcome = await runSuite(suite);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`${suite.name.padEnd(12)}${countsText(outcome).padEnd(40)}${seconds.padStart(7)} s`);
    total = addCounts(total, outcome);
    skipped.push(...outcome.skippedNames.map((name) => `${suite.name}: ${name}`));
    failed.push(...outcome.complaints.map((name) => `${suite.name}: ${name}`));
  }
  const forgotten = forgottenFiles(REPOSITORY).map((file) => `no suite runs ${file}`);
  failed.push(...forgotten);
  total = addCounts(total, { ...NO_TESTS, failed: forgotten.length });

  if (interrupted) console.log("\nInterrupted: the rest was not run.");
  printSummary(total, { skipped, failed });
  if (interrupted) return 130;
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

let exitCode = 1;
try {
  exitCode = await main(process.argv.slice(2));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(exitCode);
