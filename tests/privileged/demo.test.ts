import { expect, test } from "bun:test";
import type { Report } from "../../scripts/demo/answers.ts";
import { DemoProcess, leftovers, NOTHING_LEFT } from "../support/demo-process.ts";
import { patience } from "../support/slowness.ts";

/** The whole demo, once in each way. Needs root, podman, lxc, gcc, runc, buildah and the Debian archives. */
const LIMIT_MS = patience(600_000);

test.each(["at-create", "storage"] as const)(
  "%s: the demo keeps its promises, and its JSON has every figure and verdict",
  async (way) => {
    const options = way === "storage" ? ["--storage"] : [];
    const { code, output, stderr } = await new DemoProcess(["--json", ...options]).end();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const report = JSON.parse(output) as Report & { readonly passed: boolean };
    expect(report.passed).toBe(true);
    expect(report.way).toBe(way);
    expect(report.steps).toHaveLength(11);
    for (const { title, milliseconds } of report.steps) {
      expect(title).not.toBe("");
      expect(milliseconds).toBeGreaterThan(0);
    }
    for (const name of ["web", "feed"] as const) {
      const [before, after] = [report.before[name].documentMs, report.after[name].documentMs];
      expect(before).toBeGreaterThan(3 * after);
      expect(report.undone.attack[name].documentMs).toBeGreaterThan(3 * after);
      expect(report.again.attack[name].documentMs * 3).toBeLessThan(before);
    }
    const { web, feed, plain } = report.imports;
    expect(web.packageAtoms).toBeGreaterThan(50);
    expect(feed.sharedBytes).toBeGreaterThan(feed.newBytes);
    expect(plain.newAtoms).toBeLessThan(10);
    for (const { newBytes, adoptedBytes } of [web, feed, plain])
      expect(adoptedBytes).toBe(way === "storage" ? 0 : newBytes);
    expect(report.fix.images.map(({ verdict }) => verdict)).toEqual(["apply", "apply"]);
    expect(report.fix.fixes[0]?.provenance).toContain("security");
    expect(report.fix.outdated.map(({ name }) => name).sort()).toEqual(["feed", "web"]);
    expect(report.fix.timings.fixMs).toBeLessThan(report.rebuildMs);
    expect(report.restart.map(({ error }) => error)).toEqual([undefined, undefined]);
    expect(report.proof[0]?.isFixed).toBe(true);
    expect(report.proof[0]?.containers.map(({ proof }) => proof)).toEqual(["mapped", "mapped"]);
    expect(report.undone.milliseconds).toBeGreaterThan(0);
    expect(report.totalMs).toBeGreaterThan(report.rebuildMs);
    expect(report.again.isFixed).toBe(true);
    expect(leftovers()).toEqual(NOTHING_LEFT);
  },
  LIMIT_MS,
);
