/**
 * Runs opencontainers/runtime-tools' validation programs against runc and against crio-lxc, and compares what they say, point by
 * point: npm run test:validation [-- PROGRAM...]
 * The last line of stdout is `N passed, N failed, N skipped`.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { lockFileLater } from "../../src/sys/lock.ts";
import { printSummary } from "../support/summary.ts";
import { appliesTo, type Comparison, compareProgram, type Exception, parseExceptions } from "./compare.ts";
import { ValidatedRuntime } from "./runtime.ts";
import { programNames, validationSuite } from "./suite.ts";

const REPOSITORY = join(import.meta.dir, "../..");
/** Of the pinned version. */
const PROGRAMS = 58;
/** Fewer points that runc passes would mean that the machine cannot run containers, and the comparison proves nothing. */
const FEWEST_POINTS = 2000;
/** They all use the same control group. */
const SHARE_A_CGROUP = /^linux_cgroups_|^delete_(only_create_)?resources$/;

/** Longer than a run takes. */
const WAIT_MS = 15 * 60_000;

async function main(chosen: readonly string[]): Promise<Comparison> {
  const { directory, version } = await validationSuite();
  const built = Bun.spawnSync([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY });
  if (!built.success) throw new Error(`crio-lxc does not build: ${built.stderr.toString()}`);
  const all = programNames(directory);
  const exceptions = parseExceptions(readFileSync(join(import.meta.dir, "exceptions.json"), "utf8"));
  const here = exceptions.filter((exception) => appliesTo(exception, release()));
  const wrong = [
    ...chosen.filter((name) => !all.includes(name)).map((name) => `There is no program "${name}"`),
    ...exceptions
      .filter(({ program }) => !all.includes(program))
      .map(({ program }) => `${program}: listed, but there is no such program: remove it from the list`),
    ...(all.length === PROGRAMS ? [] : [`There are ${all.length} programs, not ${PROGRAMS}`]),
  ];
  const names = chosen.length === 0 ? all : all.filter((name) => chosen.includes(name));
  console.log(`runtime-tools ${version}: ${names.length} programs`);

  // Two runs would meet in the same control groups.
  using _alone = await lockFileLater("/run/lock/atomfs-validation", "exclusive", { timeoutMs: WAIT_MS });
  const before = cgroupDirectories();
  const inLane = (lane: readonly string[]): Promise<Comparison[]> => runLane(lane, directory, here);
  const lanes = await Promise.all([
    inLane(names.filter((name) => SHARE_A_CGROUP.test(name))),
    inLane(names.filter((name) => !SHARE_A_CGROUP.test(name))),
  ]);
  removeNewCgroups(before);

  const found = lanes.flat();
  const passed = found.flatMap((one) => one.passed);
  if (chosen.length === 0 && passed.length < FEWEST_POINTS)
    wrong.push(`Only ${passed.length} points pass with both: this machine proves nothing`);
  for (const line of wrong) console.log(`not ok ${line}`);
  return {
    passed,
    failed: [...found.flatMap((one) => one.failed), ...wrong],
    skipped: found.flatMap((one) => one.skipped),
    better: found.flatMap((one) => one.better),
  };
}

/** One program after the other, beside other lanes: the runtimes' state is this lane's own. */
async function runLane(
  programs: readonly string[],
  directory: string,
  exceptions: readonly Exception[],
): Promise<Comparison[]> {
  using runc = new ValidatedRuntime("runc", Bun.which("runc") ?? "/usr/sbin/runc", directory);
  using ours = new ValidatedRuntime("crio-lxc", join(REPOSITORY, "dist/crio-lxc"), directory);
  const compare = async (program: string): Promise<Comparison> =>
    compareProgram(
      program,
      await runc.validate(program),
      await ours.validate(program),
      exceptions.filter((exception) => exception.program === program),
    );
  const results: Comparison[] = [];
  for (const program of programs) {
    let result = await compare(program);
    // The programs poll once a second, for up to ten: on a loaded machine that is not always enough.
    if (result.failed.length > 0) {
      console.log(`# once more: ${result.failed.join("; ")}`);
      for (const runtime of [runc, ours]) console.log(`# ${runtime.name}: ${runtime.said(program)}`);
      result = await compare(program);
    }
    for (const line of result.failed) console.log(`not ok ${line}`);
    results.push(result);
  }
  return results;
}

function cgroupDirectories(): Set<string> {
  const found = Bun.spawnSync(["find", "/sys/fs/cgroup", "-mindepth", "1", "-maxdepth", "4", "-type", "d"]);
  return new Set(found.stdout.toString().split("\n"));
}

/** Parents that the programs name and no runtime removes. What is in use stays: rmdir refuses it. */
function removeNewCgroups(before: ReadonlySet<string>): void {
  const own = [...cgroupDirectories()].filter(
    (path) => !before.has(path) && /\/(testdir|cgrouptest)(\/|$)/.test(path),
  );
  for (const path of own.sort().reverse()) {
    if (!existsSync(path) || readdirSync(path, { withFileTypes: true }).some((entry) => entry.isDirectory()))
      continue;
    try {
      rmdirSync(path);
    } catch {
      // Somebody is in it.
    }
  }
}

let isPassed = false;
try {
  const { passed, failed, skipped, better } = await main(process.argv.slice(2));
  if (better.length > 0) {
    const programs = [...new Set(better.map((line) => line.split(":")[0] ?? ""))];
    console.log(`\n${better.length} points that only crio-lxc passes: ${programs.join(", ")}`);
  }
  const counts = { passed: passed.length, failed: failed.length, skipped: skipped.length };
  printSummary(counts, { skipped, failed });
  isPassed = failed.length === 0;
} catch (error) {
  const failed = [error instanceof Error ? error.message : String(error)];
  printSummary({ passed: 0, failed: 1, skipped: 0 }, { skipped: [], failed });
}
process.exitCode = isPassed ? 0 : 1;
