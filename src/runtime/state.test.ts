import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readStat } from "../sys/pid.ts";
import {
  type ContainerRecord,
  createDirectory,
  holdDirectory,
  listIds,
  readRecord,
  removeDirectory,
  replaceFile,
  statusOf,
  sweepTrash,
  writeRecord,
} from "./state.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync("/var/tmp/atomfs-state-");
});
afterAll(() => rmSync(root, { recursive: true }));

function record(id: string, more: Partial<ContainerRecord> = {}): ContainerRecord {
  return {
    id,
    cgroups: ["/sys/fs/cgroup/none"],
    bundle: "/b",
    rootfs: "/b/rootfs",
    created: "2026-01-01T00:00:00.000Z",
    owner: "root",
    annotations: { a: "b" },
    cgroupManager: "cgroupfs",
    cgroupPath: "/none",
    hasProcess: true,
    hooks: { poststart: [], poststop: [] },
    ociVersion: "1.0.2",
    init: undefined,
    started: false,
    ...more,
  };
}

test("a container's directory is made once, written, read, and removed", () => {
  using held = createDirectory(root, "one");
  expect(() => createDirectory(root, "one")).toThrow("container with id exists: one");
  expect(readRecord(root, "one")).toBeUndefined();
  writeRecord(held, record("one"));
  expect(readRecord(root, "one")).toMatchObject({ id: "one", annotations: { a: "b" } });
  expect(listIds(root)).toEqual(["one"]);
  removeDirectory(held, root, "one");
  expect(readdirSync(root)).toEqual([]);
  expect(() => readRecord(root, "one")).toThrow('container "one" does not exist');
  expect(() => holdDirectory(root, "one")).toThrow('container "one" does not exist');
  expect(listIds(`${root}/none`)).toEqual([]);
});

test("a removal that was killed is finished, of this id only", () => {
  for (const name of [".del-two@5", ".del-two@5x", ".del-two.a@5"])
    mkdirSync(`${root}/${name}/sub`, { recursive: true });
  expect(listIds(root)).toEqual([]);
  sweepTrash(root, "two");
  expect(readdirSync(root).sort()).toEqual([".del-two.a@5", ".del-two@5x"]);
  sweepTrash(root, "two.a");
  rmSync(`${root}/.del-two@5x`, { recursive: true });
});

test.each([
  "",
  "{",
  "[]",
  "null",
  '{"format":2,"id":"x","cgroups":[]}',
  '{"format":1,"id":"x","cgroups":["rel"]}',
])("the record %p is refused", (text) => {
  mkdirSync(`${root}/bad`, { recursive: true });
  writeFileSync(`${root}/bad/state.json`, text);
  expect(() => readRecord(root, "bad")).toThrow(/is no JSON|is no record/);
  rmSync(`${root}/bad`, { recursive: true });
});

describe("status", () => {
  const never = (): boolean => {
    throw new Error("asked for nothing");
  };
  const self = readStat(process.pid);
  const alive = { pid: process.pid, startTime: self?.startTime ?? 0 };

  test("without a pid it is creating", () => expect(statusOf(record("x"), never)).toBe("creating"));
  test("with this pid of an earlier process it is stopped", () => {
    const init = { ...alive, startTime: alive.startTime - 1 };
    expect(statusOf(record("x", { init }), never)).toBe("stopped");
  });
  test("with a pid that is nobody's it is stopped", () => {
    expect(statusOf(record("x", { init: { pid: 2 ** 22 + 1, startTime: 1 } }), never)).toBe("stopped");
  });
  test("an init that is no player has started, whatever the record says", () => {
    expect(statusOf(record("x", { init: alive }), () => false)).toBe("running");
    expect(statusOf(record("x", { init: alive, started: true }), () => true)).toBe("paused");
  });
  test("what is frozen is paused, also before its start", () => {
    expect(statusOf(record("x", { init: alive }), () => true)).toBe("paused");
  });
});

test("a file is replaced in the umask's mode, and a failure leaves nothing", () => {
  replaceFile(`${root}/pid`, "1");
  replaceFile(`${root}/pid`, "22");
  expect(readFileSync(`${root}/pid`, "utf8")).toBe("22");
  expect(statSync(`${root}/pid`).mode & 0o777).toBe(0o666 & ~process.umask());
  expect(() => replaceFile(`${root}/none/pid`, "1")).toThrow(/ENOENT/);
  mkdirSync(`${root}/taken/full`, { recursive: true });
  expect(() => replaceFile(`${root}/taken`, "1")).toThrow();
  expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
});
