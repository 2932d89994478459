import type { KernelName, VirtualJob, VirtualMachine } from "./plan.ts";
import { partName, SLOWNESS } from "./plan.ts";
import { type LxcVersion, lxcRoot } from "./work-disk.ts";

const BUN = "node_modules/.bin/bun";
const REPOSITORY = "/work/repository";
const ENVIRONMENT = { TEST_SLOWNESS: String(SLOWNESS), TEST_ATOMFS: `${REPOSITORY}/dist/atomfs` };

/** Tests that a guest without network cannot run, or that another job is. */
export const NOT_IN_GUEST: Readonly<Record<string, string>> = {
  "tests/privileged/demo.test.ts": "the job demo is this",
  "tests/privileged/demo-interrupted.test.ts": "builds images from the whole of Debian's archive",
  "tests/privileged/dpkg-equality.test.ts": "downloads 40 packages",
  "tests/privileged/ldconfig.test.ts": "downloads packages",
  "tests/privileged/scripts.test.ts": "downloads packages",
};

const LAUNCHER_TESTS = ["tests/privileged/launcher.test.ts", "tests/privileged/crio-lxc-exec.test.ts"];

/** Tests that call apt, which has no lists yet: the archive on the guest's loopback has what they install. */
const CALLS_APT = ["tests/privileged/podman-image-store.test.ts"];

function suiteJob(file: string): VirtualJob {
  const argv = [BUN, "tests/run.ts", file] as const;
  return {
    name: file.replace(/^.*\//, "").replace(".test.ts", ""),
    argv: CALLS_APT.includes(file) ? ["sh", "-ec", 'apt-get -qq update; exec "$@"', "sh", ...argv] : argv,
    env: ENVIRONMENT,
    kind: "suites",
  };
}

function demoJob(name: string, ...options: readonly string[]): VirtualJob {
  return {
    name,
    argv: [BUN, "scripts/demo/main.ts", ...options],
    // The vulnerable library's time grows with the square: still well over the second that the demo wants to see.
    env: { ...ENVIRONMENT, ATOMFS_DEMO_ATTRIBUTES: "60000" },
    kind: "command",
  };
}

const DEMO = demoJob("demo");
const DEMO_STORAGE = demoJob("demo-storage", "--storage");

/** The launcher's tests with the LXC and the C library of another release. */
function lxcJob(version: LxcVersion): VirtualJob {
  return {
    name: `lxc-${version}`,
    argv: [
      "sh",
      "tests/vm/guest/in-root.sh",
      lxcRoot(version),
      version,
      BUN,
      "tests/run.ts",
      ...LAUNCHER_TESTS,
    ],
    // These roots have no compiler.
    env: { ...ENVIRONMENT, TEST_PLAYER: `${REPOSITORY}/dist/player` },
    kind: "suites",
  };
}

/** @param privileged all files of the suite of that name */
function machine(kernel: KernelName, files: readonly string[], more: readonly VirtualJob[]): VirtualMachine {
  return {
    name: kernel,
    kernel,
    verity: kernel !== "6.1",
    jobs: [...files.filter((file) => NOT_IN_GUEST[file] === undefined).map(suiteJob), ...more],
    limit: 240,
  };
}

export function allMachines(privileged: readonly string[]): readonly VirtualMachine[] {
  return [
    machine("6.1", privileged, [DEMO, DEMO_STORAGE]),
    machine("6.12", privileged, [lxcJob("6"), lxcJob("7"), DEMO, DEMO_STORAGE]),
  ];
}

const SLICE = ["launcher", "crio-lxc-exec", "crio-lxc-apparmor", "crio-lxc-systemd", "mounts", "checkout"];

/** What fits into a few minutes of every change's checks. The demo takes twelve minutes of a processor in a guest. */
export function slice(): readonly VirtualMachine[] {
  const files = SLICE.map((name) => `tests/privileged/${name}.test.ts`);
  return [{ ...machine("6.1", files, []), limit: 40 }];
}

/** The machines with the jobs of these names alone; those without any are left out. */
export function withJobs(
  machines: readonly VirtualMachine[],
  names: readonly string[],
): readonly VirtualMachine[] {
  if (names.length === 0) return machines;
  return machines
    .map((each) => ({
      ...each,
      jobs: each.jobs.filter(({ name }) => names.includes(name) || names.includes(`${each.name}:${name}`)),
    }))
    .filter(({ jobs }) => jobs.length > 0);
}

/** The machines without these parts; those without any job left are left out. */
export function withoutParts(
  machines: readonly VirtualMachine[],
  parts: readonly string[],
): readonly VirtualMachine[] {
  return machines
    .map((each) => ({ ...each, jobs: each.jobs.filter((job) => !parts.includes(partName(each, job))) }))
    .filter(({ jobs }) => jobs.length > 0);
}
