import { describe, expect } from "bun:test";
import { existsSync } from "node:fs";
import { metricFamilies } from "../../src/cli/metric-families.ts";
import { formatExposition, type MetricFamily } from "../../src/formats/prometheus/exposition.ts";
import { EMPTY_STATE } from "../../src/store/state.ts";
import { run } from "../../src/sys/process.ts";
import { testUnless } from "../support/needs.ts";
import { digestOf, fixRule } from "../support/temporary-store.ts";

const READER = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families
text = sys.stdin.buffer.read().decode("utf-8")
print(json.dumps([[f.name, f.documentation, f.type, [[s.name, s.labels, s.value] for s in f.samples]]
  for f in text_string_to_metric_families(text)]))
`;

/** Debian's own, which has Debian's packages. */
const PYTHON = "/usr/bin/python3";
const hasPython =
  existsSync(PYTHON) &&
  Bun.spawnSync([PYTHON, "-c", "import prometheus_client.parser"], { stderr: "ignore" }).exitCode === 0;

const HOSTILE: MetricFamily = {
  name: "atomfs_hostile_bytes",
  help: "Back\\slash, and\na new line.",
  type: "gauge",
  samples: ['"', "\\", "\n", '\\"', "\\n", "a,b}{", "ümläut €", "", " "].map((word, value) => ({
    labels: { word, other: "x" },
    value: value / 3,
  })),
};

function everyFamily(): MetricFamily[] {
  const row = {
    engine: "cri",
    root: "current",
    findings: [],
    atCreate: { root: "molecule", why: "fix" },
  } as const;
  const fix = { ...fixRule("0123456789ab"), title: 'a "title"', addedAt: "2026-01-01T00:00:00.000Z" };
  return metricFamilies({
    version: "1.0.0",
    state: {
      ...EMPTY_STATE,
      fixes: new Map([[fix.id, fix]]),
      fixesGeneration: { number: 1, changedAt: "2026-01-01T00:00:00.000Z" },
    },
    engineImages: new Map([[digestOf("a"), { storage: "/" }]]),
    lastGc: { at: "2026-01-01T00:00:00.000Z", images: 1, files: 1, bytes: 1 },
    available: 1e12,
    engines: [],
    rows: [row as never],
    usage: {
      images: [],
      fixes: [],
      parts: [{ name: "objects", bytes: 5, engineShared: 2 }],
      bytes: 5,
      engineShared: 2,
    },
    collectors: { containers: true, usage: true },
  });
}

describe("Prometheus", () => {
  testUnless(
    hasPython ? undefined : "no python3-prometheus-client",
    "its Python client reads every family, sample and label",
    async () => {
      const families = [...everyFamily(), HOSTILE];
      const { stdout } = await run([PYTHON, "-c", READER], {
        stdin: Buffer.from(formatExposition(families)),
      });
      expect(JSON.parse(stdout.toString())).toEqual(
        families.map(({ name, help, type, samples }) => [
          name,
          help,
          type,
          samples.map(({ labels = {}, value }) => [name, labels, value]),
        ]),
      );
    },
  );

  testUnless(
    Bun.which("promtool") === null ? "no promtool, of Debian's prometheus" : undefined,
    "promtool check metrics finds nothing to complain about",
    async () => {
      // It ends with another code for a lint finding, too.
      const { stdout, stderr } = await run(["promtool", "check", "metrics"], {
        stdin: Buffer.from(formatExposition(everyFamily())),
      });
      expect(`${stdout.toString()}${stderr}`.trim()).toBe("");
    },
  );
});
