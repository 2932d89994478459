/**
 * Runs critest in virtual machines with CRI-O, on crio-lxc with AtomFS and, as the control, on runc, and compares spec by spec:
 *   npm run test:critest [-- --slice | GROUP...]
 *   --only crio-lxc|runc  without the other; without the control every spec must pass
 *   --resume              leaves out what was run before with the very same sources (runc: with the same disk)
 *   --output DIRECTORY    for the logs of critest, CRI-O and the machine (default: /var/tmp/atomfs-critest)
 * The last line of stdout is `N passed, N failed, N skipped`.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { printSummary } from "../support/summary.ts";
import { Records } from "../vm/records.ts";
import { sourceDigest } from "../vm/work-disk.ts";
import { type CritestDisk, critestDisk } from "./disk.ts";
import { GROUPS, type Group, SPECS } from "./groups.ts";
import { type CritestFacts, RUNTIMES, type Runtime } from "./plan.ts";
import { compareSpecs, type Spec } from "./report.ts";
import { type GroupOutcome, runInGuest } from "./run-guest.ts";

const VM_CACHE = process.env["ATOMFS_VM_CACHE"] ?? "/var/cache/atomfs-vm";
const CACHE = process.env["ATOMFS_CRITEST_CACHE"] ?? "/var/cache/atomfs-critest";
const LIMIT_MINUTES = 240;
const SLICE_LIMIT_MINUTES = 40;
/** Of the specs' order. */
const SEED = 1;

const interruption = abortOnSignals();

type Options = {
  readonly groups: readonly Group[];
  readonly runtimes: readonly Runtime[];
  readonly resume: boolean;
  readonly limitMinutes: number;
  readonly output: string;
};

function optionsOf(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      slice: { type: "boolean", default: false },
      only: { type: "string" },
      resume: { type: "boolean", default: false },
      output: { type: "string", default: "/var/tmp/atomfs-critest" },
    },
  });
  const only = values.only ?? (values.slice ? "crio-lxc" : undefined);
  const runtimes = RUNTIMES.filter((runtime) => only === undefined || only === runtime);
  if (runtimes.length === 0) throw new Error(`--only takes ${RUNTIMES.join(" or ")}`);
  const unknown = positionals.find((word) => !GROUPS.some(({ name }) => name === word));
  if (unknown !== undefined)
    throw new Error(`There is no group ${unknown}; there are ${GROUPS.map(({ name }) => name).join(" ")}`);
  const groups = GROUPS.filter(({ name, slice }) =>
    positionals.length > 0 ? positionals.includes(name) : slice || !values.slice,
  );
  const limitMinutes = values.slice ? SLICE_LIMIT_MINUTES : LIMIT_MINUTES;
  return { groups, runtimes, resume: values.resume, limitMinutes, output: values.output };
}

/** What a group came to on one runtime; the part is the group's name. */
type GroupRecord = GroupOutcome & { readonly part: string; readonly facts?: CritestFacts };

type RuntimeOutcome = { readonly groups: readonly GroupRecord[]; readonly wrong: readonly string[] };

async function runRuntime(
  runtime: Runtime,
  options: Options,
  context: { readonly disk: CritestDisk; readonly scratch: string; readonly say: (what: string) => void },
): Promise<RuntimeOutcome> {
  const { disk, scratch, say } = context;
  const sources = runtime === "runc" ? disk.digest : `${disk.digest}-${await sourceDigest()}`;
  const records = new Records<GroupRecord>(join(CACHE, runtime), sources);
  const done = options.resume ? options.groups.flatMap(({ name }) => records.read(name) ?? []) : [];
  if (done.length > 0) say(`${runtime}: was run before: ${done.map(({ part }) => part).join(" ")}`);
  const groups = options.groups.filter(({ name }) => !done.some(({ part }) => part === name));
  if (groups.length === 0) return { groups: done, wrong: [] };
  const outcome = await runInGuest(
    { runtime, groups, seed: SEED },
    {
      cache: VM_CACHE,
      scratch,
      work: disk.file,
      output: join(options.output, runtime),
      limitMinutes: options.limitMinutes,
      say,
      signal: interruption,
    },
  );
  const { facts } = outcome;
  const made = outcome.groups.map(
    (each): GroupRecord => ({ ...each, part: each.group, ...(facts === undefined ? {} : { facts }) }),
  );
  for (const record of made) if (record.specs.every(({ state }) => state !== "failed")) records.write(record);
  const left = (facts?.left ?? []).map((trace) => `left behind: ${trace}`);
  return { groups: [...done, ...made], wrong: [...outcome.wrong, ...left] };
}

async function main(args: readonly string[]): Promise<number> {
  const options = optionsOf(args);
  console.log(
    `critest on ${options.runtimes.join(" and ")}: ${options.groups.map(({ name }) => name).join(" ")}`,
  );
  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(join(CACHE, `run-${process.pid}-`));
  const start = performance.now();
  const say = (what: string): void =>
    console.log(`[${Math.round((performance.now() - start) / 1000)} s] ${what}`);
  const outcomes = new Map<Runtime, RuntimeOutcome>();
  const wrong: string[] = [];
  try {
    const disk = await critestDisk({ cache: CACHE, directory: scratch, onStep: say, signal: interruption });
    for (const runtime of options.runtimes) {
      const outcome = await runRuntime(runtime, options, { disk, scratch, say });
      outcomes.set(runtime, outcome);
      wrong.push(...outcome.wrong.map((each) => `${runtime}: ${each}`));
      interruption.throwIfAborted();
    }
  } catch (error) {
    wrong.push(interruption.aborted ? "interrupted: the rest was not run" : String(error));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  const isGood = report(options, outcomes, wrong);
  if (interruption.aborted) return 130;
  return isGood ? 0 : 1;
}

function report(
  options: Options,
  outcomes: ReadonlyMap<Runtime, RuntimeOutcome>,
  wrong: readonly string[],
): boolean {
  const specsOf = (runtime: Runtime): Spec[] | undefined =>
    outcomes.get(runtime)?.groups.flatMap(({ specs }) => specs);
  for (const [runtime, { groups }] of outcomes) printFigures(runtime, groups);
  const ours = specsOf("crio-lxc");
  const control = specsOf("runc");
  const compared = compareSpecs(ours === undefined ? undefined : control, ours ?? control ?? []);
  for (const name of compared.better) console.log(`runc does not pass: ${name}`);
  const failed = [...wrong, ...compared.failed];
  const seen = compared.passed.length + compared.failed.length + compared.skipped.length;
  if (options.groups.length === GROUPS.length && seen < SPECS)
    failed.push(`there are ${seen} specs, want at least ${SPECS}: a group is missing`);
  const counts = { passed: compared.passed.length, failed: failed.length, skipped: compared.skipped.length };
  printSummary(counts, { skipped: compared.skipped, failed });
  return counts.failed === 0 && counts.passed > 0;
}

function printFigures(runtime: Runtime, groups: readonly GroupRecord[]): void {
  const specs = groups.flatMap((each) => each.specs);
  const count = (state: Spec["state"]): number => specs.filter((spec) => spec.state === state).length;
  const seconds = Math.round(specs.reduce((sum, spec) => sum + spec.seconds, 0));
  // npm run conformance keeps lines that begin so.
  console.log(
    `FIGURE ${runtime}: ${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped in ${seconds} s of the guest`,
  );
  for (const facts of new Set(groups.map((each) => JSON.stringify(each.facts))))
    console.log(`FIGURE ${runtime}: ${facts}`);
}

process.exitCode = await main(process.argv.slice(2));
