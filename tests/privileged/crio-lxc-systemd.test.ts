import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { waitChild } from "../../src/sys/pid.ts";
import { type Config, ContainerLab } from "../support/container-lab.ts";
import { testUnless } from "../support/needs.ts";
import { patience } from "../support/slowness.ts";

/** The systemd cgroup driver, on a machine that systemd runs. */

const hasSystemd = existsSync("/run/systemd/system");
const hasBus = existsSync("/run/dbus/system_bus_socket");
const reason = hasSystemd
  ? hasBus
    ? undefined
    : "no D-Bus: the package dbus is not installed"
  : "systemd is not PID 1";
let lab: ContainerLab;
beforeAll(() => {
  lab = new ContainerLab();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

const SLICE = "atomfs-test.slice";

function show(unit: string, property: string): string {
  return Bun.spawnSync(["systemctl", "show", "--property", property, "--value", unit])
    .stdout.toString()
    .trim();
}

function cgroupsOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/cgroup`, "latin1")
    .trim()
    .split("\n")
    .map((line) => line.split(":").slice(2).join(":"));
}

function inScope(name: string, change: (config: Config) => void = () => undefined): (config: Config) => void {
  return (config) => {
    config.linux["cgroupsPath"] = `${SLICE}:lab:${name}`;
    change(config);
  };
}

function create(id: string): number {
  const pidFile = join(lab.scratch, "pid");
  lab.must("--systemd-cgroup", "create", "--bundle", lab.bundle, "--pid-file", pidFile, id);
  return Number(readFileSync(pidFile, "latin1"));
}

describe("--systemd-cgroup", () => {
  testUnless(reason, "the container is in a scope of its slice, with limits that systemd shows", () => {
    const id = lab.container(
      inScope("one", (config) => {
        config.linux["resources"] = {
          memory: { limit: 64 << 20 },
          pids: { limit: 33 },
          cpu: { shares: 512 },
        };
        config["annotations"] = { "org.systemd.property.TimeoutStopUSec": "uint64 7000000" };
      }),
    );
    const pid = create(id);
    const unit = "lab-one.scope";
    expect(new Set(cgroupsOf(pid))).toEqual(new Set([`/atomfs.slice/${SLICE}/${unit}/container`]));
    expect(show(unit, "ActiveState")).toBe("active");
    expect(show(unit, "Slice")).toBe(SLICE);
    expect(show(unit, "TasksMax")).toBe("33");
    expect(show(unit, "TimeoutStopUSec")).toBe("7s");
    lab.must("start", id);
    // CRI-O says --systemd-cgroup at create only.
    lab.must("update", "--pids-limit", "44", id);
    expect(show(unit, "TasksMax")).toBe("44");
    const limits = lab
      .record(id)
      .cgroups.map((directory) => join(directory, "pids.max"))
      .filter((file) => existsSync(file));
    expect(limits.map((file) => readFileSync(file, "latin1").trim())).toEqual(["44"]);
    expect(Bun.spawnSync(["systemctl", "daemon-reload"]).exitCode).toBe(0);
    expect(limits.map((file) => readFileSync(file, "latin1").trim())).toEqual(["44"]);
    expect(lab.must("exec", id, "cat", "/proc/self/cgroup")).toMatch(/:\/\n$/);
    lab.must("kill", id, "KILL");
    expect(waitChild(pid)).toBe(137);
    lab.must("delete", id);
    expect(["inactive", ""]).toContain(show(unit, "ActiveState"));
    expect(show(unit, "LoadState")).toBe("not-found");
    expect(lab.traces(id)).toEqual([]);
    expect(lab.traces(unit)).toEqual([]);
  });

  testUnless(reason, "a scope that is there already is another container's", () => {
    const first = lab.container(inScope("same"));
    create(first);
    const second = lab.container(inScope("same"));
    const answer = lab.call("--systemd-cgroup", "create", "--bundle", lab.bundle, second);
    expect(answer.code).toBe(1);
    expect(lab.traces(second)).toEqual([]);
    expect(lab.status(first)).toBe("created");
    lab.must("delete", "--force", first);
    expect(lab.traces("lab-same.scope")).toEqual([]);
  });

  testUnless(reason, "delete --force of a container that runs removes the scope", () => {
    const id = lab.container(inScope("forced"));
    create(id);
    lab.must("start", id);
    expect(lab.call("delete", "--force", id)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(lab.traces("lab-forced.scope")).toEqual([]);
  });

  testUnless(
    hasSystemd ? "systemd is PID 1" : undefined,
    "without systemd is an error that says what to do, and leaves nothing",
    () => {
      const id = lab.container(inScope("none"));
      const answer = lab.call("--systemd-cgroup", "create", "--bundle", lab.bundle, id);
      expect(answer).toMatchObject({ code: 1, stderr: expect.stringContaining("not booted with systemd") });
      expect(lab.traces(id)).toEqual([]);
    },
  );
});

test("another form of cgroupsPath is refused with either driver", () => {
  const id = lab.container((config) => {
    config.linux["cgroupsPath"] = "/some/path";
  });
  expect(lab.call("--systemd-cgroup", "create", "--bundle", lab.bundle, id).stderr).toContain(
    "slice:prefix:name",
  );
  expect(lab.traces(id)).toEqual([]);
});
