import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import {
  type Counts,
  jobFiles,
  type MachineFacts,
  partName,
  readCounts,
  type VirtualJob,
  type VirtualMachine,
  wrongFacts,
} from "./plan.ts";
import { boot, type Ended } from "./qemu.ts";
import type { PartRecord } from "./records.ts";
import { makeFilesystem, rootDisk } from "./root-disk.ts";

const RESULT_SIZE = "512M";
const OUTPUT_SHOWN = 100_000;

export type MachineContext = {
  readonly cache: string;
  readonly scratch: string;
  readonly work: string;
  readonly say: (what: string) => void;
  /** A job got to its end, the machine still runs. */
  readonly onPart: (record: PartRecord) => void;
  readonly signal: AbortSignal;
};

/** Counts of the parts, and of the machine itself as one test: that it is what it should be. */
export type MachineOutcome = { readonly machine: Counts; readonly parts: readonly PartRecord[] };

/** Boots the machine, lets it run its jobs, and counts. A job that did not get to its end is one failure. */
export async function runMachine(machine: VirtualMachine, context: MachineContext): Promise<MachineOutcome> {
  const { cache, scratch, work, say, signal } = context;
  say(`the root disk with Linux ${machine.kernel}${machine.verity ? " and fs-verity" : ""}`);
  const root = await rootDisk(cache, machine, signal);
  const given = join(scratch, "given");
  mkdirSync(given);
  writeFileSync(join(given, "jobs.json"), JSON.stringify(machine.jobs));
  const results = join(scratch, "results.ext4");
  // Without a journal all is in its place after a sync(2) in the guest, and can be read while the guest runs.
  await makeFilesystem(results, RESULT_SIZE, given, ["-O", "^has_journal"]);
  rmSync(given, { recursive: true });
  const directory = join(scratch, "results");
  const copyResults = async (): Promise<void> => {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory);
    await run(["debugfs", "-R", `rdump / ${directory}`, results]);
  };
  const told = new Set<string>();
  let telling = Promise.resolve();
  const tellEnded = async (): Promise<void> => {
    await copyResults();
    if (wrongFactsIn(machine, directory).length > 0) return;
    for (const job of machine.jobs) {
      if (told.has(job.name) || !existsSync(join(directory, jobFiles(job).end))) continue;
      told.add(job.name);
      context.onPart(judgeJob(machine, job, directory, ""));
    }
  };
  say(`booting Linux ${machine.kernel}`);
  const onLine = (line: string): void => {
    say(`${machine.name}: ${line}`);
    telling = telling.then(tellEnded);
  };
  const limitMs = machine.limit * 60_000;
  const ended = await boot({ root, work, results, scratch, limitMs, signal, onLine });
  await telling;
  await copyResults();
  rmSync(results);
  const outcome = judge(machine, ended, directory);
  rmSync(directory, { recursive: true });
  return outcome;
}

/** What the guest said of itself and is not as it should be; that it said nothing, too. */
function wrongFactsIn(machine: VirtualMachine, directory: string): string[] {
  const file = join(directory, "facts.json");
  if (!existsSync(file)) return ["did not come up"];
  return wrongFacts(machine, JSON.parse(readFileSync(file, "utf8")) as MachineFacts);
}

function judge(machine: VirtualMachine, ended: Ended, directory: string): MachineOutcome {
  const failedNames = wrongFactsIn(machine, directory).map((wrong) => `${machine.name}: ${wrong}`);
  if (failedNames.length > 0) show(ended.console);
  const parts = machine.jobs.map((job) => judgeJob(machine, job, directory, ended.why));
  for (const [i, job] of machine.jobs.entries())
    if ((parts[i]?.failed ?? 0) > 0) show(join(directory, jobFiles(job).log));
  const passed = failedNames.length === 0 ? 1 : 0;
  return {
    machine: { passed, failed: failedNames.length, skipped: 0, skippedNames: [], failedNames },
    parts,
  };
}

/** @param why the machine ended, for a job that did not get to its own end */
function judgeJob(machine: VirtualMachine, job: VirtualJob, directory: string, why: string): PartRecord {
  const files = jobFiles(job);
  const part = partName(machine, job);
  const failure = { part, seconds: 0, passed: 0, failed: 1, skipped: 0, skippedNames: [], failedNames: [] };
  if (!existsSync(join(directory, files.end))) {
    console.log(`${part} did not get to its end: the machine's was "${why}"`);
    return failure;
  }
  const end = JSON.parse(readFileSync(join(directory, files.end), "utf8")) as {
    readonly code: number;
    readonly seconds: number;
  };
  const { code, seconds } = end;
  if (job.kind === "command")
    return code === 0 ? { ...failure, seconds, passed: 1, failed: 0 } : { ...failure, seconds };
  const counts = readCounts(readFileSync(join(directory, files.log), "utf8"));
  if (counts === undefined || counts.passed + counts.failed + counts.skipped === 0)
    return { ...failure, seconds };
  return { part, seconds, ...counts, failed: code !== 0 && counts.failed === 0 ? 1 : counts.failed };
}

function show(file: string): void {
  if (!existsSync(file)) return;
  const text = readFileSync(file, "latin1");
  console.log(`--- ${file.split("/").at(-1)}\n${text.slice(-OUTPUT_SHOWN).trimEnd()}\n---`);
}
