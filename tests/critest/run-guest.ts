import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { jobFiles, type MachineFacts, type VirtualJob, wrongFacts } from "../vm/plan.ts";
import { boot } from "../vm/qemu.ts";
import { makeFilesystem, rootDisk } from "../vm/root-disk.ts";
import { type CritestFacts, type CritestRun, FACTS, RESULTS, reportFile } from "./plan.ts";
import { isLeftOut, parseReport, type Spec } from "./report.ts";

const RESULT_SIZE = "512M";
const REQUEST = "critest-run.json";
const MACHINE = { kernel: "6.12", verity: true } as const;

export type GuestContext = {
  /** Of the virtual machines' disks. */
  readonly cache: string;
  /** An existing directory. */
  readonly scratch: string;
  readonly work: string;
  /** Where critest's log, CRI-O's and the machine's are left. */
  readonly output: string;
  readonly limitMinutes: number;
  readonly say: (what: string) => void;
  readonly signal: AbortSignal;
};

/** What critest said of one group's specs, without those that the focus leaves out. */
export type GroupOutcome = { readonly group: string; readonly specs: readonly Spec[] };

export type GuestOutcome = {
  readonly groups: readonly GroupOutcome[];
  readonly facts?: CritestFacts;
  /** Why the outcome is not what it should be, whatever the specs say. */
  readonly wrong: readonly string[];
};

/** Boots a machine, runs critest in it, and reads what it found. */
export async function runInGuest(request: CritestRun, context: GuestContext): Promise<GuestOutcome> {
  const { cache, scratch, work, output, say, signal } = context;
  say(`the root disk with Linux ${MACHINE.kernel}`);
  const root = await rootDisk(cache, MACHINE, signal);
  const job: VirtualJob = {
    name: "critest",
    argv: ["node_modules/.bin/bun", "tests/critest/guest/run-critest.ts", join(RESULTS, REQUEST)],
    env: {},
    kind: "command",
  };
  const given = join(scratch, "given");
  mkdirSync(given);
  writeFileSync(join(given, "jobs.json"), JSON.stringify([job]));
  writeFileSync(join(given, REQUEST), JSON.stringify(request));
  const results = join(scratch, "results.ext4");
  // Without a journal all is in its place after a sync(2) in the guest, also if it is ended by force.
  await makeFilesystem(results, RESULT_SIZE, given, ["-O", "^has_journal"]);
  rmSync(given, { recursive: true });
  say(`booting Linux ${MACHINE.kernel} for ${request.runtime}`);
  const limitMs = context.limitMinutes * 60_000;
  const onLine = (line: string): void => say(`${request.runtime}: ${line}`);
  const ended = await boot({ root, work, results, scratch, limitMs, signal, onLine });
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  await run(["debugfs", "-R", `rdump / ${output}`, results]);
  await run(["cp", ended.console, join(output, "console.log")]);
  rmSync(results);
  return readOutcome(request, output, jobFiles(job).end, ended.why);
}

function readOutcome(request: CritestRun, output: string, end: string, why: string): GuestOutcome {
  const read = <T>(name: string): T | undefined => {
    const file = join(output, name);
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as T) : undefined;
  };
  const machine = read<MachineFacts>("facts.json");
  const facts = read<CritestFacts>(FACTS);
  const wrong =
    machine === undefined
      ? [`the machine did not come up (${why})`]
      : wrongFacts({ ...MACHINE, name: "critest", jobs: [], limit: 0 }, machine);
  if (read(end) === undefined) wrong.push(`critest did not get to its end: the machine's was "${why}"`);
  const groups: GroupOutcome[] = [];
  for (const { name } of request.groups) {
    const file = join(output, reportFile(name));
    const all = existsSync(file) ? parseReport(readFileSync(file, "utf8")) : [];
    const specs = all.filter((spec) => !isLeftOut(spec));
    if (specs.length === 0) wrong.push(`critest reported no spec of ${name}`);
    else groups.push({ group: name, specs });
  }
  return { groups, wrong, ...(facts === undefined ? {} : { facts }) };
}
