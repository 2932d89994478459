import type { Engine } from "../engines/engine.ts";
import type { MetricFamily, Sample } from "../formats/prometheus/exposition.ts";
import { cameFromEngine, type EngineImages } from "../store/engine-images.ts";
import type { GcRecord } from "../store/gc-record.ts";
import { currentGeneration, type State } from "../store/state.ts";
import type { StoreUsage } from "../store/usage.ts";
import type { Row } from "./container-rows.ts";

/*
 * Facts of a machine as Prometheus' metrics; docs/kubernetes.md lists them. Pure. Where a number of things by some word is told, words
 * without a thing are told, too, so that an alert's series exists before it is needed.
 */

export type MetricFacts = {
  readonly version: string;
  readonly state: State;
  /** What `gc` last saw of the engines. */
  readonly engineImages: EngineImages;
  readonly lastGc: GcRecord | undefined;
  /** Bytes that are free on the store's filesystem. */
  readonly available: number;
  /** Those that this machine has. */
  readonly engines: readonly Engine["name"][];
  /** Undefined if they could not be asked for, or were not. */
  readonly rows: readonly Row[] | undefined;
  readonly usage: StoreUsage | undefined;
  /** Did each of what was asked answer? */
  readonly collectors: Readonly<Record<string, boolean>>;
};

const ROOTS = ["current", "outdated", "shadowed", "unknown", "stopped", "not-ours"] as const;
/** Words of `io.atomfs.root` and `io.atomfs.why` that occur together. */
const OUTCOMES = [
  ["molecule", "fix"],
  ["engine", "no-fix"],
  ["engine", "unknown-image"],
  ["engine", "policy"],
  ["engine", "error"],
] as const;

export function metricFamilies(facts: MetricFacts): MetricFamily[] {
  return [
    gauge("atomfs_build_info", "Version of atomfs, as label; the value is 1.", [
      { labels: { version: facts.version }, value: 1 },
    ]),
    gauge(
      "atomfs_collector_success",
      "Whether this part of the metrics could be collected.",
      byWord("collector", facts.collectors, (isSuccess) => (isSuccess ? 1 : 0)),
    ),
    ...fixFamilies(facts.state),
    ...imageFamilies(facts),
    ...(facts.rows === undefined ? [] : containerFamilies(facts.rows, facts.engines)),
    ...storeFamilies(facts),
    ...gcFamilies(facts.lastGc),
  ];
}

function fixFamilies(state: State): MetricFamily[] {
  const { fixes, images, fixesGeneration } = state;
  const { number, changedAt } = fixesGeneration;
  const holding = (id: string): number =>
    [...images.keys()].filter((config) => currentGeneration(state, config)?.fixes.includes(id)).length;
  return [
    gauge("atomfs_fixes", "Fixes in the store.", [{ value: fixes.size }]),
    gauge("atomfs_fixes_generation", "How often the set of fixes was changed.", [{ value: number }]),
    gauge(
      "atomfs_fixes_last_change_timestamp_seconds",
      "When the set of fixes was last changed.",
      changedAt === undefined ? [] : [{ value: seconds(changedAt) }],
    ),
    gauge(
      "atomfs_fix_info",
      "A fix in the store, as labels; the value is 1.",
      [...fixes.values()].map(({ id, title }) => ({ labels: { fix: id, title }, value: 1 })),
    ),
    gauge(
      "atomfs_fix_images",
      "Images whose current molecule holds the fix.",
      [...fixes.keys()].map((id) => ({ labels: { fix: id }, value: holding(id) })),
    ),
  ];
}

function imageFamilies({ state, engineImages }: MetricFacts): MetricFamily[] {
  const images = [...state.images.values()];
  const seen = [...engineImages].filter(([config]) => state.images.has(config)).map(([, record]) => record);
  const held = seen.filter(({ absentSince }) => absentSince === undefined).length;
  return [
    gauge("atomfs_images", "Images in the store, by where they came from.", [
      { labels: { source: "engine" }, value: images.filter(cameFromEngine).length },
      { labels: { source: "other" }, value: images.filter((each) => !cameFromEngine(each)).length },
    ]),
    gauge("atomfs_images_held", "Images that an engine held when they were last looked for.", [
      { value: held },
    ]),
    gauge("atomfs_images_waiting", "Images that gc will remove after their grace time.", [
      { value: seen.length - held },
    ]),
  ];
}

function containerFamilies(rows: readonly Row[], installed: MetricFacts["engines"]): MetricFamily[] {
  const engines = [...new Set([...installed, ...rows.map(({ engine }) => engine)])].sort();
  const count = (isIt: (row: Row) => boolean): number => rows.filter(isIt).length;
  const isOf = (row: Row, [root, why]: (typeof OUTCOMES)[number]): boolean =>
    row.atCreate?.root === root && row.atCreate.why === why;
  return [
    gauge(
      "atomfs_containers",
      "Containers of the engines, by what their root is.",
      engines.flatMap((engine) =>
        ROOTS.map((root) => ({
          labels: { engine, root },
          value: count((row) => row.engine === engine && row.root === root),
        })),
      ),
    ),
    gauge(
      "atomfs_containers_at_create",
      "Containers of crio-lxc that exist, by what was done about their root when they were created.",
      OUTCOMES.map((outcome) => ({
        labels: { root: outcome[0], why: outcome[1] },
        value: count((row) => isOf(row, outcome)),
      })),
    ),
    gauge("atomfs_containers_with_findings", "Containers of whose files something is not as it should be.", [
      { value: count(({ findings, atCreate }) => findings.length + (atCreate?.findings?.length ?? 0) > 0) },
    ]),
  ];
}

function storeFamilies({ usage, available }: MetricFacts): MetricFamily[] {
  const byOwner = (part: StoreUsage["parts"][number]): Sample[] => [
    { labels: { part: part.name, owner: "atomfs" }, value: part.bytes - part.engineShared },
    { labels: { part: part.name, owner: "engine" }, value: part.engineShared },
  ];
  return [
    gauge(
      "atomfs_store_size_bytes",
      "Bytes of the store's files, by directory and by whose disk blocks they are.",
      usage?.parts.flatMap(byOwner) ?? [],
    ),
    gauge("atomfs_store_available_bytes", "Bytes that are free on the store's filesystem.", [
      { value: available },
    ]),
  ];
}

function gcFamilies(last: GcRecord | undefined): MetricFamily[] {
  if (last === undefined) return [];
  return [
    gauge("atomfs_gc_last_success_timestamp_seconds", "When gc last came to its end.", [
      { value: seconds(last.at) },
    ]),
    gauge("atomfs_gc_last_removed_bytes", "Bytes that the last gc freed.", [{ value: last.bytes }]),
    gauge("atomfs_gc_last_removed_images", "Images that the last gc removed.", [{ value: last.images }]),
  ];
}

function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, help, type: "gauge", samples };
}

function byWord<T>(label: string, values: Readonly<Record<string, T>>, value: (each: T) => number): Sample[] {
  return Object.entries(values).map(([word, each]) => ({ labels: { [label]: word }, value: value(each) }));
}

function seconds(time: string): number {
  return Date.parse(time) / 1000;
}
