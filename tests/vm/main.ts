/**
 * Runs tests in virtual machines with Debian's own kernels (docs/ARCHITECTURE.md):
 *   npm run test:vm [-- --slice | JOB...]     a job is called "launcher", or "6.1:launcher" on one machine alone
 * The last line of stdout is `N passed, N failed, N skipped`.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { addCounts, NO_TESTS, type TestCount } from "../support/junit.ts";
import { SUITES, suiteFiles } from "../support/suites.ts";
import { printSummary } from "../support/summary.ts";
import { allMachines, NOT_IN_GUEST, slice, withJobs } from "./machines.ts";
import { runMachine } from "./run-machine.ts";
import { type LxcVersion, workDisk } from "./work-disk.ts";

const REPOSITORY = join(import.meta.dir, "../..");
const CACHE = process.env["ATOMFS_VM_CACHE"] ?? "/var/cache/atomfs-vm";

const interruption = abortOnSignals();

function privilegedFiles(): string[] {
  const suite = SUITES.find(({ name }) => name === "privileged");
  return suite?.kind === "tests" ? suiteFiles(REPOSITORY, suite.globs) : [];
}

async function main(words: readonly string[]): Promise<number> {
  const wantsSlice = words.includes("--slice");
  const names = words.filter((word) => word !== "--slice");
  const machines = withJobs(wantsSlice ? slice() : allMachines(privilegedFiles()), names);
  const known = machines.flatMap(({ name, jobs }) =>
    jobs.flatMap((job) => [job.name, `${name}:${job.name}`]),
  );
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    console.error(`error: There is no job "${unknown}". Jobs:`);
    for (const { name, jobs } of allMachines(privilegedFiles()))
      console.error(`  ${name}: ${jobs.map((job) => job.name).join(" ")}`);
    return 2;
  }
  for (const { name, jobs } of machines)
    console.log(`Debian's ${name}: ${jobs.map((job) => job.name).join(" ")}`);

  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(join(CACHE, `run-${process.pid}-`));
  let total: TestCount = NO_TESTS;
  const failed: string[] = [];
  const skipped =
    names.length > 0 || wantsSlice
      ? []
      : Object.entries(NOT_IN_GUEST).map(([file, why]) => `${file} [${why}]`);
  try {
    const start = performance.now();
    const say = (what: string): void =>
      console.log(`[${Math.round((performance.now() - start) / 1000)} s] ${what}`);
    const lxc = machines.flatMap(({ jobs }) =>
      jobs.flatMap(({ name }): LxcVersion[] => (name === "lxc-6" ? ["6"] : name === "lxc-7" ? ["7"] : [])),
    );
    const work = await workDisk({ cache: CACHE, directory: scratch, lxc, onStep: say, signal: interruption });
    for (const each of machines) {
      const outcome = await runMachine(each, { cache: CACHE, scratch, work, say, signal: interruption });
      total = addCounts(total, outcome);
      failed.push(...outcome.failedNames);
      skipped.push(...outcome.skippedNames);
      interruption.throwIfAborted();
    }
  } catch (error) {
    // A machine that cannot be made, or an interruption, is one failure beside those that were counted.
    failed.push(interruption.aborted ? "interrupted: the rest was not run" : String(error));
    total = addCounts(total, { ...NO_TESTS, failed: 1 });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  total = { ...total, skipped: skipped.length };
  printSummary(total, { skipped, failed });
  if (interruption.aborted) return 130;
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
