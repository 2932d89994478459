/** Runs jobs one after the other: bun run-jobs.ts JOBS RESULTS. Output and exit codes go to the results' directory. */
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../src/sys/process.ts";
import { ARCHIVE_PORT, jobFiles, type MachineFacts, type VirtualJob } from "../plan.ts";

const [jobsFile = "", results = ""] = process.argv.slice(2);
const ARCHIVE_LIMIT_MS = 300_000;

function text(path: string): string {
  return readFileSync(path, "latin1").trim();
}

async function facts(): Promise<MachineFacts> {
  const features = (await run(["dumpe2fs", "-h", "/dev/vda"])).stdout.toString();
  return {
    kernel: text("/proc/sys/kernel/osrelease"),
    init: text("/proc/1/comm"),
    cgroupVersions: [...new Set(text("/proc/self/mountinfo").match(/ - cgroup2? /g) ?? [])].map((each) =>
      each.trim().slice(2),
    ),
    apparmor: text("/sys/module/apparmor/parameters/enabled") === "Y",
    verity: /^Filesystem features:.*\bverity\b/m.test(features),
    capabilities: /^CapEff:\s*(\w+)$/m.exec(text("/proc/self/status"))?.[1] ?? "",
  };
}

async function runJob(job: VirtualJob): Promise<void> {
  const files = jobFiles(job);
  const log = openSync(join(results, files.log), "w");
  const start = performance.now();
  const child = Bun.spawn([...job.argv], {
    env: { ...process.env, ...job.env },
    stdin: "ignore",
    stdout: log,
    stderr: log,
  });
  const code = await child.exited;
  closeSync(log);
  const seconds = Math.round((performance.now() - start) / 1000);
  writeFileSync(join(results, files.end), JSON.stringify({ code, seconds }));
  // A machine that is ended by force must not take this along.
  await run(["sync"]);
  console.log(`VM ${job.name}: ${code === 0 ? "done" : `exit code ${code}`} after ${seconds} s`);
}

/** It was started a moment ago; without it the jobs that need it say so. */
async function untilArchiveAnswers(): Promise<void> {
  const end = performance.now() + ARCHIVE_LIMIT_MS;
  while (performance.now() < end) {
    const answers = await fetch(`http://127.0.0.1:${ARCHIVE_PORT}/`).then(
      () => true,
      () => false,
    );
    if (answers) return;
    await Bun.sleep(100);
  }
}

writeFileSync(join(results, "facts.json"), JSON.stringify(await facts()));
console.log(`\nVM up after ${Math.round(Number(text("/proc/uptime").split(" ")[0]))} s`);
await untilArchiveAnswers();
for (const job of JSON.parse(readFileSync(jobsFile, "utf8")) as readonly VirtualJob[]) await runJob(job);
const journal = await run(["journalctl", "--no-pager", "--boot"], { okCodes: [0, 1] });
writeFileSync(join(results, "journal.log"), journal.stdout);
