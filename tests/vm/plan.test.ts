import { describe, expect, test } from "bun:test";
import { packageFiles } from "./archive.ts";
import { loadOrder } from "./kernel-modules.ts";
import { allMachines, NOT_IN_GUEST, slice, withJobs } from "./machines.ts";
import { type MachineFacts, readCounts, wrongFacts } from "./plan.ts";

const FILES = ["tests/privileged/launcher.test.ts", ...Object.keys(NOT_IN_GUEST)];

test("each machine has a job for each file that a guest can run, and the names of a machine's jobs differ", () => {
  const machines = allMachines(FILES);
  expect(machines.map(({ kernel, verity }) => [kernel, verity])).toEqual([
    ["6.1", false],
    ["6.12", true],
  ]);
  expect(machines.map(({ jobs }) => jobs.map(({ name }) => name))).toEqual([
    ["launcher", "demo", "demo-storage"],
    ["launcher", "lxc-6", "lxc-7", "demo", "demo-storage"],
  ]);
});

test("jobs are chosen by name, on all machines or on one", () => {
  const names = (words: readonly string[]): string[] =>
    withJobs(allMachines(FILES), words).flatMap(({ name, jobs }) => jobs.map((job) => `${name}:${job.name}`));
  expect(names(["demo"])).toEqual(["6.1:demo", "6.12:demo"]);
  expect(names(["6.12:demo", "lxc-7"])).toEqual(["6.12:lxc-7", "6.12:demo"]);
});

test("the slice is a part of the whole", () => {
  for (const { name, jobs } of slice()) {
    const files = jobs.map((job) => `tests/privileged/${job.name}.test.ts`);
    const whole = allMachines(files).find((each) => each.name === name);
    for (const job of jobs) expect(whole?.jobs).toContainEqual(job);
  }
});

describe("wrongFacts", () => {
  const RIGHT: MachineFacts = {
    kernel: "6.1.0-56-cloud-amd64",
    init: "systemd",
    cgroupVersions: ["cgroup2"],
    apparmor: true,
    verity: false,
    capabilities: "000001ffffffffff",
  };
  const [machine] = slice();
  if (machine === undefined) throw new Error("the slice has a machine");

  test("nothing, where all is as it should be", () => expect(wrongFacts(machine, RIGHT)).toEqual([]));

  test.each<[Partial<MachineFacts>]>([
    [{ kernel: "6.12.1" }],
    [{ init: "init" }],
    [{ cgroupVersions: ["cgroup", "cgroup2"] }],
    [{ apparmor: false }],
    [{ verity: true }],
    [{ capabilities: "000001fffeffffff" }],
  ])("%p is one", (wrong) => expect(wrongFacts(machine, { ...RIGHT, ...wrong })).toHaveLength(1));
});

test("counts and the names of what was skipped are read from the end of a run's output", () => {
  const output =
    "privileged  3 passed\n\nSkipped:\n  privileged: a [why]\n  privileged: b [why]\n\n3 passed, 0 failed, 2 skipped\n";
  expect(readCounts(output)).toEqual({
    passed: 3,
    failed: 0,
    skipped: 2,
    skippedNames: ["privileged: a [why]", "privileged: b [why]"],
    failedNames: [],
  });
  const failed = "Skipped:\n  a [why]\n\nFailed:\n  x > y\n\n3 passed, 1 failed, 1 skipped\n";
  expect(readCounts(failed)).toMatchObject({ skippedNames: ["a [why]"], failedNames: ["x > y"] });
  expect(readCounts("3 passed, 0 failed, 0 skipped\n")?.skippedNames).toEqual([]);
  expect(readCounts("3 passed, 0 failed, 0 skipped\nKilled\n")).toBeUndefined();
});

test("modules come after what they need; what is built in is left out", () => {
  const dependencies = [
    "kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz",
    "kernel/drivers/virtio/virtio.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz",
    "kernel/drivers/virtio/virtio_ring.ko.xz:",
    "",
  ].join("\n");
  expect(loadOrder(dependencies, ["virtio_blk", "virtio_pci"])).toEqual([
    "kernel/drivers/virtio/virtio_ring.ko.xz",
    "kernel/drivers/virtio/virtio.ko.xz",
    "kernel/drivers/virtio/virtio_pci.ko.xz",
  ]);
});

test("the files of some packages are found in an index", () => {
  const index =
    "Package: a\nFilename: pool/a.deb\n\nPackage: ab\nFilename: pool/ab.deb\n\nPackage: a\nFilename: pool/a2.deb\n";
  expect(packageFiles(index, ["a"])).toEqual(["pool/a.deb", "pool/a2.deb"]);
});
