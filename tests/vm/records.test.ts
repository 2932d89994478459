import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PartRecord, Records } from "./records.ts";

const RECORD: PartRecord = {
  part: "6.1:launcher",
  seconds: 7,
  passed: 3,
  failed: 0,
  skipped: 1,
  skippedNames: ["a [why]"],
  failedNames: [],
};

test("a part's result is there for the same sources only", () => {
  const cache = mkdtempSync(join(tmpdir(), "atomfs-records-"));
  try {
    new Records(cache, "one").write(RECORD);
    expect(new Records(cache, "one").read("6.1:launcher")).toEqual(RECORD);
    expect(new Records(cache, "one").read("6.12:launcher")).toBeUndefined();
    expect(new Records(cache, "other").read("6.1:launcher")).toBeUndefined();
  } finally {
    rmSync(cache, { recursive: true });
  }
});

test("results of old sources are forgotten, the oldest first, never those of these sources", () => {
  const cache = mkdtempSync(join(tmpdir(), "atomfs-records-"));
  try {
    for (let age = 1; age <= 8; age++) {
      const directory = join(cache, "results", `old-${age}`);
      mkdirSync(directory, { recursive: true });
      utimesSync(directory, 1_000_000 - age, 1_000_000 - age);
    }
    new Records(cache, "old-8");
    const left = ["old-1", "old-2", "old-3", "old-4", "old-5", "old-8"];
    expect(readdirSync(join(cache, "results")).sort()).toEqual(left);
  } finally {
    rmSync(cache, { recursive: true });
  }
});
