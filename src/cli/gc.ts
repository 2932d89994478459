import type { Command } from "commander";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { dropReleasedImages, type ReleasedImages } from "../engines/drop-images.ts";
import { readEngineHoldings } from "../engines/held-images.ts";
import { moleculesInUse, mountedMolecules } from "../mounts/molecule-mounts.ts";
import { DEFAULT_STATE_DIRECTORY } from "../runtime/argv.ts";
import { sweepForgotten } from "../runtime/forgotten.ts";
import { isNearlyFull, readSpace } from "../store/free-space.ts";
import { collectGarbage, type Garbage, type GarbageOptions } from "../store/gc.ts";
import { type GcRecord, isGcDue, readGcRecord, writeGcRecord } from "../store/gc-record.ts";
import { currentGeneration, namesOf, type State } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { isDiskFull } from "../sys/machine-failure.ts";
import { type Context, criStorageRoots, openStore } from "./context.ts";
import { bytesText, shortId } from "./output.ts";
import { parseByteCount, parseDuration, parsePercent } from "./quantities.ts";

type Options = {
  readonly dryRun?: boolean;
  readonly every?: number;
  readonly grace: number;
  /** Percent. */
  readonly full: number;
  readonly fullGrace: number;
  readonly cacheAge: number;
  readonly cacheSize: number;
};

const DAY_MS = 86_400_000;
/** Before kubelet evicts pods, by default with less than 15 % of the images' filesystem available. */
const FULL_PERCENT = 20;

export function registerGc(program: Command, context: () => Context): void {
  program
    .command("gc")
    .description("remove what no image, engine, generation, fix, plan or mount needs")
    .option("--dry-run", "only say what would be removed")
    .option(
      "--grace <time>",
      "keep images that no engine holds any more so long (24h)",
      parseDuration,
      DAY_MS,
    )
    .option(
      "--full <share>",
      "the disk is nearly full when less of it is free (20%)",
      parsePercent,
      FULL_PERCENT,
    )
    .option("--full-grace <time>", "on a disk that is nearly full, instead of --grace (0)", parseDuration, 0)
    .option(
      "--every <time>",
      "do nothing if the last gc is not so long ago, unless the disk is nearly full",
      parseDuration,
    )
    .option("--cache-age <time>", "remove older packages and indexes (30d)", parseDuration, 30 * DAY_MS)
    .option("--cache-size <size>", "of the others, keep so much, the newest (1GB)", parseByteCount, 1e9)
    .action((options: Options) => runGc(context(), options));
}

async function runGc(context: Context, options: Options): Promise<void> {
  using store = openStore(context);
  const now = new Date();
  const nearlyFull = isNearlyFull(readSpace(store.layout.root), options.full);
  if (
    !nearlyFull &&
    options.every !== undefined &&
    !isGcDue(readGcRecord(store.layout), options.every, now)
  ) {
    answerNothingDue(context);
    return;
  }
  const roots = await criStorageRoots(context);
  const dryRun = options.dryRun === true;
  const before = store.state;
  const cache = { now: now.getTime(), maxAgeMs: options.cacheAge, maxBytes: options.cacheSize };
  const pressure = { graceMs: options.fullGrace, inUse: imagesOnMounts(store) };
  const drop = (): ReleasedImages =>
    dropReleasedImages(
      store,
      {
        ...{ command: context.commandLine, now, dryRun, graceMs: options.grace },
        ...(nearlyFull ? { pressure } : {}),
      },
      readEngineHoldings(store.layout, roots),
    );
  const { expired, waiting, removed } = dropWithRoom(store, drop, { dryRun, cache });
  const without = new Set(expired);
  const inUse = moleculesInUse(store.layout, dryRun ? mountedInVain(store, without) : undefined);
  const containers = await sweepForgotten(DEFAULT_STATE_DIRECTORY, {
    dryRun,
    warn: (text) => context.output.say(`note: ${text}`),
  });
  const collected = collectGarbage(store, inUse, { dryRun, without, cache });
  const paths = [...removed.paths, ...collected.paths];
  const bytes = removed.bytes + collected.bytes;
  if (!dryRun) {
    noteGc(store, { at: now.toISOString(), images: expired.length, files: paths.length, bytes });
  }
  const answer = {
    images: expired.map((config) => ({ config, names: namesOf(before, config) })),
    waiting: waiting.map(({ config, absentSince }) => ({
      config,
      names: namesOf(before, config),
      absentSince: new Date(absentSince).toISOString(),
    })),
    containers,
    paths,
    bytes,
    nearlyFull,
    skipped: false,
  };
  context.output.answer(answer, (each) => gcText(before, each, dryRun));
}

function gcText(
  before: State,
  answer: Readonly<{
    images: readonly { readonly config: Sha256 }[];
    waiting: readonly { readonly config: Sha256; readonly absentSince: string }[];
    containers: readonly string[];
    paths: readonly string[];
    bytes: number;
    nearlyFull: boolean;
  }>,
  dryRun: boolean,
): string {
  const { images, waiting, containers, paths, bytes, nearlyFull } = answer;
  const would = dryRun ? " would be" : "";
  const why = `no engine holds it${nearlyFull ? ", and the disk is nearly full" : ""}`;
  return [
    ...images.map(({ config }) => `image ${shownAs(before, config)}${would} removed: ${why}`),
    ...waiting.map(
      ({ config, absentSince }) =>
        `image ${shownAs(before, config)} waits: no engine holds it since ${absentSince}`,
    ),
    ...containers.map(
      (id) => `container ${shortId(id)}${would} removed: it has ended, and its engine has forgotten it`,
    ),
    ...(dryRun ? paths : []),
    `${paths.length} file(s), ${bytesText(bytes)}${would} removed`,
  ].join("\n");
}

/** As the answer of a gc that found nothing. */
function answerNothingDue({ output }: Context): void {
  const nothing = { images: [], waiting: [], containers: [], paths: [], bytes: 0 };
  output.answer(
    { ...nothing, nearlyFull: false, skipped: true },
    () => "nothing done: the last gc is not long ago, and the disk is not nearly full",
  );
}

const NOTHING: Garbage = { paths: [], bytes: 0 };

/** On a full disk images can only leave the journal when other garbage has made room for its record. */
function dropWithRoom(
  store: Store,
  drop: () => ReleasedImages,
  options: GarbageOptions,
): ReleasedImages & { readonly removed: Garbage } {
  try {
    return { ...drop(), removed: NOTHING };
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    const removed = collectGarbage(store, moleculesInUse(store.layout), options);
    return { ...drop(), removed };
  }
}

/** Images that somebody runs on, whatever engines say. What is only mounted for engines, so that they could, is not meant. */
function imagesOnMounts({ layout, state }: Store): Set<Sha256> {
  const inUse = moleculesInUse(layout, new Set(mountedMolecules(layout)));
  const isUsed = (config: Sha256): boolean =>
    state.generations.get(config)?.some(({ molecule }) => inUse.has(molecule)) === true;
  return new Set([...state.images.keys()].filter(isUsed));
}

/** A disk that is full is no reason for gc to fail. */
function noteGc({ layout }: Store, record: GcRecord): void {
  try {
    writeGcRecord(layout, record);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
  }
}

/** Molecules that are mounted for engines and that no image will need. */
function mountedInVain(store: Store, without: ReadonlySet<Sha256>): Set<VerityDigest> {
  const { layout, state } = store;
  const kept = [...state.images.keys()].filter((config) => !without.has(config));
  const needed = new Set(kept.map((config) => currentGeneration(state, config)?.molecule));
  return new Set(mountedMolecules(layout).filter((each) => !needed.has(each)));
}

function shownAs(state: State, config: Sha256): string {
  return namesOf(state, config)[0] ?? shortId(config);
}
