/**
 * Runs critest in virtual machines with CRI-O, on crio-lxc with AtomFS and, as the control, on runc, and compares spec by spec:
 *   npm run test:critest [-- --slice | GROUP...] [--only crio-lxc|runc] [--seed N] [--output DIRECTORY]
 * The last line of stdout is `N passed, N failed, N skipped`.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { critestDisk } from "./disk.ts";
import { GROUPS } from "./groups.ts";
import { type CritestRun, RUNTIMES, type Runtime } from "./plan.ts";
import { compareSpecs } from "./report.ts";
import { type GuestOutcome, runInGuest } from "./run-guest.ts";

const VM_CACHE = process.env["ATOMFS_VM_CACHE"] ?? "/var/cache/atomfs-vm";
const CACHE = process.env["ATOMFS_CRITEST_CACHE"] ?? "/var/cache/atomfs-critest";
const LIMIT_MINUTES = 240;
const SLICE_LIMIT_MINUTES = 20;

const interruption = abortOnSignals();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      slice: { type: "boolean", default: false },
      only: { type: "string" },
      seed: { type: "string", default: "1" },
      output: { type: "string", default: "/var/tmp/atomfs-critest" },
    },
  });
  const runtimes: readonly Runtime[] = RUNTIMES.filter(
    (runtime) => values.only === undefined || values.only === runtime,
  );
  if (runtimes.length === 0) throw new Error(`--only takes ${RUNTIMES.join(" or ")}`);
  const unknown = positionals.find((word) => !GROUPS.some(({ name }) => name === word));
  if (unknown !== undefined)
    throw new Error(`There is no group ${unknown}: ${GROUPS.map(({ name }) => name).join(" ")}`);
  const groups = GROUPS.filter(({ name, slice }) =>
    positionals.length > 0 ? positionals.includes(name) : slice || !values.slice,
  );
  console.log(`critest on ${runtimes.join(" and ")}: ${groups.map(({ name }) => name).join(" ")}`);
  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(join(CACHE, `run-${process.pid}-`));
  const start = performance.now();
  const say = (what: string): void =>
    console.log(`[${Math.round((performance.now() - start) / 1000)} s] ${what}`);
  const outcomes = new Map<Runtime, GuestOutcome>();
  try {
    const work = await critestDisk({ cache: CACHE, directory: scratch, onStep: say, signal: interruption });
    for (const runtime of runtimes) {
      const request: CritestRun = { runtime, groups, seed: Number(values.seed) };
      const outcome = await runInGuest(request, {
        cache: VM_CACHE,
        scratch,
        work,
        output: join(values.output, runtime),
        limitMinutes: values.slice ? SLICE_LIMIT_MINUTES : LIMIT_MINUTES,
        say,
        signal: interruption,
      });
      say(`${runtime}: ${JSON.stringify(outcome.facts)}`);
      outcomes.set(runtime, outcome);
      interruption.throwIfAborted();
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return report(outcomes);
}

function report(outcomes: ReadonlyMap<Runtime, GuestOutcome>): number {
  const wrong = [...outcomes].flatMap(([runtime, { wrong: all, facts }]) =>
    [...all, ...(facts?.left ?? []).map((trace) => `left behind: ${trace}`)].map(
      (each) => `${runtime}: ${each}`,
    ),
  );
  const ours = outcomes.get("crio-lxc")?.specs ?? [];
  // Without a control, each spec stands for itself.
  const control = outcomes.get("runc")?.specs ?? ours.map((spec) => ({ ...spec, state: "passed" as const }));
  const compared = compareSpecs(control, outcomes.has("crio-lxc") ? ours : control);
  for (const name of compared.better) console.log(`better than runc: ${name}`);
  const failed = [...wrong, ...compared.failed];
  if (compared.skipped.length > 0) console.log(`\nSkipped:\n${lines(compared.skipped)}`);
  if (failed.length > 0) console.log(`\nFailed:\n${lines(failed)}`);
  console.log(
    `\n${compared.passed.length} passed, ${failed.length} failed, ${compared.skipped.length} skipped`,
  );
  return failed.length > 0 || compared.passed.length === 0 ? 1 : 0;
}

function lines(names: readonly string[]): string {
  return names.map((name) => `  ${name}`).join("\n");
}

process.exitCode = await main();
