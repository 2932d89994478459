import { expect, test } from "bun:test";
import {
  digestOf,
  fixRule,
  generation,
  imageRecord,
  moleculeOf,
} from "../../tests/support/temporary-store.ts";
import { formatExposition } from "../formats/prometheus/exposition.ts";
import type { AtCreateOutcome } from "../runtime/at-create-outcome.ts";
import { replay } from "../store/state.ts";
import type { Row } from "./container-rows.ts";
import { type MetricFacts, metricFamilies } from "./metric-families.ts";

const A = digestOf("a");
const FIX = "0123456789ab";
const TIME = "2026-01-02T03:04:05.000Z";

function facts(more: Partial<MetricFacts> = {}): MetricFacts {
  const state = replay([
    {
      sequence: 1,
      previous: "",
      time: TIME,
      command: "test",
      operations: [
        { op: "image-added", image: imageRecord(A) },
        { op: "fix-added", fix: { ...fixRule(FIX), title: 'a "quoted" title' } },
        { op: "generation", generation: generation(A, 1, moleculeOf("1"), [FIX]) },
      ],
    },
  ]);
  return {
    version: "1.2.3",
    state,
    engineImages: new Map(),
    lastGc: undefined,
    available: 4096,
    engines: [],
    rows: undefined,
    usage: undefined,
    collectors: { containers: false },
    ...more,
  };
}

const linesOf = (own: MetricFacts): string[] =>
  formatExposition(metricFamilies(own))
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));

test("a store without containers", () => {
  expect(linesOf(facts())).toEqual([
    'atomfs_build_info{version="1.2.3"} 1',
    'atomfs_collector_success{collector="containers"} 0',
    "atomfs_fixes 1",
    "atomfs_fixes_generation 1",
    "atomfs_fixes_last_change_timestamp_seconds 1767323045",
    `atomfs_fix_info{fix="${FIX}",title="a \\"quoted\\" title"} 1`,
    `atomfs_fix_images{fix="${FIX}"} 1`,
    'atomfs_images{source="engine"} 0',
    'atomfs_images{source="other"} 1',
    "atomfs_images_held 0",
    "atomfs_images_waiting 0",
    "atomfs_store_available_bytes 4096",
  ]);
});

test("containers are counted by root and by what was done at create, also those of which there is none", () => {
  const row = (root: Row["root"], atCreate?: AtCreateOutcome): Row =>
    ({ engine: "cri", root, findings: [], atCreate }) as unknown as Row;
  const rows = [
    row("current", { root: "molecule", why: "fix", findings: ["something"] }),
    row("outdated", { root: "engine", why: "error" }),
    row("outdated"),
  ];
  const lines = linesOf(facts({ rows, collectors: { containers: true } })).filter((line) =>
    line.includes("container"),
  );
  expect(lines).toEqual([
    'atomfs_collector_success{collector="containers"} 1',
    ...[
      ["current", 1],
      ["outdated", 2],
      ["shadowed", 0],
      ["unknown", 0],
      ["stopped", 0],
      ["not-ours", 0],
    ].map(([root, n]) => `atomfs_containers{engine="cri",root="${root}"} ${n}`),
    ...[
      ["molecule", "fix", 1],
      ["engine", "no-fix", 0],
      ["engine", "unknown-image", 0],
      ["engine", "policy", 0],
      ["engine", "error", 1],
    ].map(([root, why, n]) => `atomfs_containers_at_create{root="${root}",why="${why}"} ${n}`),
    "atomfs_containers_with_findings 1",
  ]);
});

test("a node without containers has the series of its engine", () => {
  const lines = linesOf(facts({ rows: [], engines: ["cri"] }));
  expect(lines).toContain('atomfs_containers{engine="cri",root="outdated"} 0');
});

test("images that engines hold or gc waits for, gc's own times, and whose bytes the store's are", () => {
  const lines = linesOf(
    facts({
      engineImages: new Map([
        [A, { storage: "/s", absentSince: 5 }],
        [digestOf("gone"), { storage: "/s" }],
      ]),
      lastGc: { at: TIME, images: 1, files: 2, bytes: 3 },
      usage: {
        images: [],
        fixes: [],
        parts: [{ name: "objects", bytes: 10, engineShared: 4 }],
        bytes: 10,
        engineShared: 4,
      },
    }),
  );
  expect(lines).toEqual(
    expect.arrayContaining([
      "atomfs_images_held 0",
      "atomfs_images_waiting 1",
      "atomfs_gc_last_success_timestamp_seconds 1767323045",
      "atomfs_gc_last_removed_bytes 3",
      'atomfs_store_size_bytes{owner="atomfs",part="objects"} 6',
      'atomfs_store_size_bytes{owner="engine",part="objects"} 4',
    ]),
  );
});
