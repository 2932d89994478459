import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import {
  type Counts,
  jobFiles,
  type MachineFacts,
  readCounts,
  type VirtualJob,
  type VirtualMachine,
  wrongFacts,
} from "./plan.ts";
import { boot, type Ended } from "./qemu.ts";
import { makeFilesystem, rootDisk } from "./root-disk.ts";

const RESULT_SIZE = "512M";
const OUTPUT_SHOWN = 100_000;

export type MachineContext = {
  readonly cache: string;
  readonly scratch: string;
  readonly work: string;
  readonly say: (what: string) => void;
  readonly signal: AbortSignal;
};

export type MachineOutcome = Counts & { readonly failedNames: readonly string[] };

/** Boots the machine, lets it run its jobs, and counts. A job that did not get to its end is one failure. */
export async function runMachine(machine: VirtualMachine, context: MachineContext): Promise<MachineOutcome> {
  const { cache, scratch, work, say, signal } = context;
  say(`the root disk with Linux ${machine.kernel}${machine.verity ? " and fs-verity" : ""}`);
  const root = await rootDisk(cache, machine, signal);
  const given = join(scratch, "given");
  mkdirSync(given);
  writeFileSync(join(given, "jobs.json"), JSON.stringify(machine.jobs));
  const results = join(scratch, "results.ext4");
  await makeFilesystem(results, RESULT_SIZE, given);
  rmSync(given, { recursive: true });
  say(`booting Linux ${machine.kernel}`);
  const onLine = (line: string): void => say(`${machine.name}: ${line}`);
  const limitMs = machine.limit * 60_000;
  const ended = await boot({ root, work, results, scratch, limitMs, signal, onLine });
  const directory = join(scratch, "results");
  mkdirSync(directory);
  await run(["debugfs", "-R", `rdump / ${directory}`, results]);
  rmSync(results);
  const outcome = judge(machine, ended, directory);
  rmSync(directory, { recursive: true });
  return outcome;
}

function judge(machine: VirtualMachine, ended: Ended, directory: string): MachineOutcome {
  const failedNames: string[] = [];
  const skippedNames: string[] = [];
  const factsFile = join(directory, "facts.json");
  if (existsSync(factsFile)) {
    const facts = JSON.parse(readFileSync(factsFile, "utf8")) as MachineFacts;
    console.log(`${machine.name}: ${JSON.stringify(facts)}`);
    failedNames.push(...wrongFacts(machine, facts).map((wrong) => `${machine.name}: ${wrong}`));
  } else failedNames.push(`${machine.name}: did not come up (${ended.why})`);
  let passed = failedNames.length === 0 ? 1 : 0;
  let failed = failedNames.length;
  if (failed > 0) show(ended.console);
  for (const job of machine.jobs) {
    const counts = judgeJob(job, directory, ended);
    passed += counts.passed;
    failed += counts.failed;
    skippedNames.push(...counts.skippedNames.map((name) => `${machine.name}: ${name}`));
    if (counts.failed === 0) continue;
    failedNames.push(`${machine.name}: ${job.name} (${counts.failed})`);
    show(join(directory, jobFiles(job).log));
  }
  return { passed, failed, skipped: skippedNames.length, skippedNames, failedNames };
}

function judgeJob(job: VirtualJob, directory: string, ended: Ended): Counts {
  const files = jobFiles(job);
  const failure = { passed: 0, failed: 1, skipped: 0, skippedNames: [] };
  if (!existsSync(join(directory, files.end))) {
    console.log(`${job.name} did not get to its end: the machine's was "${ended.why}"`);
    return failure;
  }
  const { code } = JSON.parse(readFileSync(join(directory, files.end), "utf8")) as { code: number };
  if (job.kind === "command") return code === 0 ? { ...failure, passed: 1, failed: 0 } : failure;
  const counts = readCounts(readFileSync(join(directory, files.log), "utf8"));
  if (counts === undefined || counts.passed + counts.failed + counts.skipped === 0) return failure;
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

function show(file: string): void {
  if (!existsSync(file)) return;
  const text = readFileSync(file, "latin1");
  console.log(`--- ${file.split("/").at(-1)}\n${text.slice(-OUTPUT_SHOWN).trimEnd()}\n---`);
}
