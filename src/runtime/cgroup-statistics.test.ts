import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readLimits } from "./cgroup-statistics.ts";

let group = "";
beforeEach(() => {
  group = mkdtempSync(join(tmpdir(), "limits-"));
});
afterEach(() => rmSync(group, { recursive: true }));

test.each([
  [{ "cpu.max": "max 100000\n" }, ["max", "100000"]],
  [{ "cpu.max": "5000 20000\n" }, ["5000", "20000"]],
  [{ "cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n" }, ["max", "100000"]],
  [{ "cpu.cfs_quota_us": "5000\n", "cpu.cfs_period_us": "20000\n" }, ["5000", "20000"]],
  [{ "cpu.shares": "1024\n" }, undefined],
])("the CPU's limit of %j", (files, expected) => {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(group, name), text);
  expect(readLimits([group]).cpuMax).toEqual(expected as [string, string] | undefined);
});
