import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../../tests/support/temporary-store.ts";
import { CONDITION_TYPE } from "../engines/kubernetes/condition.ts";
import { EVENT_REASONS } from "../engines/kubernetes/events.ts";
import { HINDRANCES } from "../engines/kubernetes/hindrances.ts";
import { REPORT_ANNOTATION } from "../engines/kubernetes/report.ts";
import { EMPTY_STATE } from "../store/state.ts";
import { metricFamilies } from "./metric-families.ts";

const text = readFileSync(join(import.meta.dir, "../../docs/kubernetes.md"), "utf8");

const families = metricFamilies({
  version: "1",
  state: EMPTY_STATE,
  engineImages: new Map([[digestOf("a"), { storage: "/" }]]),
  lastGc: { at: "2026-01-01T00:00:00.000Z", images: 0, files: 0, bytes: 0 },
  available: 0,
  engines: ["cri"],
  rows: [],
  usage: undefined,
  collectors: {},
}).map(({ name }) => name);

test("docs/kubernetes.md has every metric, and names none that there is not", () => {
  const listed = text
    .split("\n")
    .filter((line) => line.startsWith("| `atomfs_"))
    .flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name));
  expect([...listed].sort()).toEqual([...families].sort());
  for (const [name] of text.matchAll(/\batomfs_[a-z_]+/g)) expect(families).toContain(name);
});

test("and every word that others may wait for", () => {
  for (const reason of EVENT_REASONS) expect(text).toContain(`| \`${reason}\` |`);
  for (const hindrance of Object.keys(HINDRANCES)) expect(text).toContain(`| \`${hindrance}\` |`);
  for (const word of [CONDITION_TYPE, REPORT_ANNOTATION]) expect(text).toContain(`\`${word}\``);
});
