import { readdirSync, readFileSync } from "node:fs";
import { AtomfsError } from "../../src/core/errors.ts";
import { hasCode } from "../../src/sys/ffi.ts";
import { becomeSubreaper, waitChild } from "../../src/sys/pid.ts";
import type { Bench } from "../bench.ts";
import { type OciRuntime, ociRuntimes } from "../oci-runtimes.ts";
import type { Sample } from "../results.ts";
import { openRuntimeBundle } from "../runtime-bundle.ts";

const ROUNDS = 30;
const GROUPS = {
  run: "Runtime: run /bin/true",
  create: "Runtime: create",
  state: "Runtime: state",
  start: "Runtime: start",
  exec: "Runtime: exec /bin/true",
  kill: "Runtime: kill",
  delete: "Runtime: delete of a stopped container",
  life: "Runtime: create, start, exec and delete together",
} as const;

/** A container's verbs as engines call them, with the config.json that Podman writes, on one root. */
export async function runtimeCase(bench: Bench): Promise<void> {
  await using bundle = await openRuntimeBundle(bench);
  const runtimes = await ociRuntimes(bench, bundle.stateDirectory);
  const [ours] = runtimes;
  const bundles = { short: bundle.write(["/bin/true"]), long: bundle.write(["/bin/sleep", "1000"]) };
  // A created container's init becomes the child of whoever looks after it; here it is waited for, as an engine does.
  becomeSubreaper();
  // The first container of each reads what the later ones find in memory.
  for (const runtime of runtimes) await live(bench, runtime, bundles, () => undefined);
  await bench.interleave(
    ROUNDS,
    runtimes.map((runtime) => () => {
      const options = runtime === ours ? {} : { against: ours.name };
      return live(bench, runtime, bundles, (verb, sample) =>
        bench.results.add(GROUPS[verb], runtime.name, sample, options),
      );
    }),
  );
}

type Add = (verb: keyof typeof GROUPS, sample: Sample) => void;

async function live(
  bench: Bench,
  { command, around }: OciRuntime,
  bundles: { readonly short: string; readonly long: string },
  add: Add,
): Promise<void> {
  const id = `atomfs-bench-${process.pid}`;
  const pidFile = `${bench.place.meterFile}.pid`;
  const call = async (...args: readonly string[]): Promise<Sample> => {
    const options = { around, leavesProcesses: true };
    return (await bench.command([...command, ...args], process.env, [0], options)).sample;
  };
  try {
    add("run", await call("run", "--bundle", bundles.short, id));
    const create = await call("create", "--bundle", bundles.long, "--pid-file", pidFile, id);
    add("create", create);
    add("state", await call("state", id));
    const start = await call("start", id);
    const init = Number(readFileSync(pidFile, "utf8"));
    add("start", { ...start, residentBytes: residentBytes(id, init) });
    const exec = await call("exec", id, "/bin/true");
    add("exec", exec);
    add("kill", await call("kill", id, "KILL"));
    waitChild(init);
    const removal = await call("delete", id);
    add("delete", removal);
    add("life", sum([create, start, exec, removal]));
  } catch (error) {
    await bench.command([...command, "delete", "--force", id], process.env, [0, 1], { around });
    throw error;
  }
}

function sum(samples: readonly Sample[]): Sample {
  const total = (of: (sample: Sample) => number): number => samples.reduce((all, one) => all + of(one), 0);
  return {
    ms: total(({ ms }) => ms),
    cpuMs: total(({ cpuMs }) => cpuMs ?? 0),
    peakBytes: Math.max(...samples.map(({ peakBytes }) => peakBytes ?? 0)),
  };
}

/** What processes of the runtime (all that name the container when they are called, but for its own) have in memory. */
function residentBytes(id: string, init: number): number {
  let bytes = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
    if (Number(pid) === init || !readProcess(pid, "cmdline").includes(id)) continue;
    bytes += Number(/^VmRSS:\s+([0-9]+) kB$/m.exec(readProcess(pid, "status"))?.[1] ?? 0) * 1024;
  }
  // Not its command line: runc's `start` ends before the container's program is executed.
  if (readProcess(String(init), "status") === "")
    throw new AtomfsError("failed", "The container does not run");
  return bytes;
}

/** Empty if it has gone. */
function readProcess(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return "";
    throw error;
  }
}
