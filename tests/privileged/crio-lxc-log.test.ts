import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ContainerLab } from "../support/container-lab.ts";
import { patience } from "../support/slowness.ts";

/** What is ignored, or not as it was asked for, is in the log that the engine named, and nowhere else. */

let lab: ContainerLab;
let log = "";
beforeAll(() => {
  lab = new ContainerLab();
  log = join(lab.scratch, "log");
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

/** Calls with a log of its own. @returns its lines, without their time */
function logged(...args: readonly string[]): string[] {
  rmSync(log, { force: true });
  expect(lab.call("--log", log, ...args)).toEqual({ code: 0, stdout: "", stderr: "" });
  if (!existsSync(log)) return [];
  return readFileSync(log, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.replace(/^time="[^"]*" /, ""));
}

function odd(): string {
  return lab.container((config) => {
    config["vm"] = {};
    config.process["futures"] = 1;
    config.linux["resources"] = { memory: { kernel: 1 << 20, kernelTCP: 1 << 20 } };
  });
}

const UNKNOWN = `level=info msg="config.json: ignored, because it is not known: \\"vm\\", \\"process.futures\\""`;
const KERNEL = `level=warning msg="resources.memory.kernel and kernelTCP are ignored: the memory limit counts both"`;

test("properties that nobody knows, and limits that no kernel has", () => {
  const id = odd();
  expect(logged("create", "--bundle", lab.bundle, id).sort()).toEqual([UNKNOWN, KERNEL]);
  expect(logged("update", "--kernel-memory", "5m", "--kernel-memory-tcp", "5m", id)).toEqual([KERNEL]);
});

test("--log-level says what is bad enough to be told", () => {
  expect(logged("--log-level", "warn", "create", "--bundle", lab.bundle, odd())).toEqual([KERNEL]);
  expect(logged("--log-level=error", "create", "--bundle", lab.bundle, odd())).toEqual([]);
});

test("a log is what the engine names, not what the container's command is told", () => {
  const { id } = lab.running();
  rmSync(log, { force: true });
  expect(lab.call("exec", id, "none", "--log", log)).toMatchObject({ code: 255, stdout: "" });
  expect(existsSync(log)).toBe(false);
  expect(lab.call("--log", log, "exec", id, "none")).toMatchObject({ code: 255 });
  expect(readFileSync(log, "utf8")).toMatch(/level=error msg=".*executable file not found in \$PATH"/);
});
