import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { withDigest } from "./disk.ts";
import { GROUPS } from "./groups.ts";
import { compareSpecs, parseReport, type Spec, type SpecState } from "./report.ts";

const spec = (name: string, state: SpecState, message = ""): Spec => ({ name, state, message, seconds: 1 });

describe("compareSpecs", () => {
  test("what runc passes must pass", () => {
    const runc = [spec("a", "passed"), spec("b", "passed"), spec("c", "passed"), spec("d", "passed")];
    const ours = [spec("a", "passed"), spec("b", "failed", "why"), spec("c", "skipped", "no features")];
    expect(compareSpecs(runc, ours)).toEqual({
      passed: ["a"],
      failed: ["b: failed: why", "c: skipped: no features", "d: absent: "],
      skipped: [],
      better: [],
    });
  });

  test("what runc does not pass is named; what only crio-lxc passes counts", () => {
    const runc = [spec("a", "skipped", "no SELinux"), spec("b", "failed", "x")];
    const ours = [spec("a", "skipped", "no SELinux"), spec("b", "passed")];
    expect(compareSpecs(runc, ours)).toEqual({
      passed: ["b"],
      failed: [],
      skipped: ["a [runc: skipped: no SELinux]"],
      better: ["b"],
    });
  });

  test("without a control all must pass", () => {
    const ours = [spec("a", "skipped", "no features"), spec("b", "passed")];
    expect(compareSpecs(undefined, ours)).toEqual({
      passed: ["b"],
      failed: ["a: skipped: no features"],
      skipped: [],
      better: [],
    });
  });
});

test("ginkgo's report: only specs, without the prefix; unknown states are failures", () => {
  const report = [
    {
      SpecReports: [
        { LeafNodeType: "BeforeSuite", LeafNodeText: "", State: "passed", RunTime: 1 },
        {
          LeafNodeType: "It",
          ContainerHierarchyTexts: ["[k8s.io] Container", "runtime"],
          LeafNodeText: "works",
          State: "passed",
          RunTime: 2_500_000_000,
        },
        {
          LeafNodeType: "It",
          ContainerHierarchyTexts: null,
          LeafNodeText: "hangs",
          State: "timedout",
          RunTime: 0,
          Failure: { Message: "too\n  long" },
        },
      ],
    },
  ];
  expect(parseReport(JSON.stringify(report))).toEqual([
    { name: "Container / runtime / works", state: "passed", seconds: 2.5, message: "" },
    { name: "hangs", state: "failed", seconds: 0, message: "too long" },
  ]);
  expect(() => parseReport("{}")).toThrow("no report");
});

test("the groups have names of their own, and some are the slice", () => {
  const names = GROUPS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(GROUPS.filter(({ slice }) => slice).length).toBeGreaterThan(2);
});

test("critest's copy pulls another digest, and is as long as before", () => {
  const source = readFileSync(join(import.meta.dir, "disk.ts"), "utf8");
  const old = /UNOBTAINABLE_DIGEST = "([0-9a-f]{64})"/.exec(source)?.[1] ?? "";
  const changed = withDigest(Buffer.from(`x${old}y${old}z`), "0".repeat(64));
  expect(changed.toString()).toBe(`x${"0".repeat(64)}y${"0".repeat(64)}z`);
  expect(() => withDigest(Buffer.from("nothing"), "0".repeat(64))).toThrow();
});
