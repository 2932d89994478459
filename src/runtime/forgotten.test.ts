import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sweepForgotten } from "./forgotten.ts";
import { type ContainerRecord, createDirectory, listIds, nameProcess, writeRecord } from "./state.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/atomfs-forgotten-");
});
afterAll(() => rmSync(directory, { recursive: true }));

const DEAD = { pid: 4_194_303, startTime: 1 };

function record(id: string, more: Partial<ContainerRecord>): ContainerRecord {
  return {
    id,
    cgroups: [],
    bundle: join(directory, "no-bundle"),
    rootfs: "/none",
    created: "2026-01-01T00:00:00.000Z",
    owner: "root",
    annotations: {},
    cgroupManager: "cgroupfs",
    cgroupPath: "/none",
    hasProcess: true,
    hooks: { poststart: [], poststop: [] },
    ociVersion: "1.0.2",
    init: DEAD,
    started: true,
    ...more,
  };
}

test("only a container without a process and without a bundle, which nobody is at work on, is forgotten", async () => {
  const root = join(directory, "root");
  const bundle = join(directory, "bundle");
  mkdirSync(bundle);
  const make = (id: string, more: Partial<ContainerRecord> = {}): void => {
    using held = createDirectory(root, id);
    writeRecord(held, record(id, more));
  };
  make("ended");
  make("never-made", { init: undefined, started: false });
  make("has-bundle", { bundle });
  make("runs", { init: nameProcess(process.pid) });
  {
    using _ = createDirectory(root, "no-record");
  }
  using busy = createDirectory(root, "busy");
  writeRecord(busy, record("busy", { init: undefined }));
  const options = { dryRun: true, warn: (text: string): never => expect.unreachable(text) };
  expect(await sweepForgotten(root, options)).toEqual(["busy", "ended", "never-made"]);
  expect(await sweepForgotten(root, { ...options, dryRun: false })).toEqual(["ended", "never-made"]);
  expect(listIds(root)).toEqual(["busy", "has-bundle", "no-record", "runs"]);
  expect(await sweepForgotten(join(directory, "absent"), options)).toEqual([]);
});
