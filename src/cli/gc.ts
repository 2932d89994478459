import type { Command } from "commander";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { dropReleasedImages } from "../engines/drop-images.ts";
import { readEngineHoldings } from "../engines/held-images.ts";
import { moleculesInUse, mountedMolecules } from "../mounts/molecule-mounts.ts";
import { DEFAULT_STATE_DIRECTORY } from "../runtime/argv.ts";
import { sweepForgotten } from "../runtime/forgotten.ts";
import { collectGarbage } from "../store/gc.ts";
import { type GcRecord, writeGcRecord } from "../store/gc-record.ts";
import { currentGeneration, namesOf, type State } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { hasCode } from "../sys/ffi.ts";
import { type Context, criStorageRoots, openStore } from "./context.ts";
import { bytesText, shortId } from "./output.ts";
import { parseByteCount, parseDuration } from "./quantities.ts";

type Options = {
  readonly dryRun?: boolean;
  readonly grace: number;
  readonly cacheAge: number;
  readonly cacheSize: number;
};

const DAY_MS = 86_400_000;

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
    .option("--cache-age <time>", "remove older packages and indexes (30d)", parseDuration, 30 * DAY_MS)
    .option("--cache-size <size>", "of the others, keep so much, the newest (1GB)", parseByteCount, 1e9)
    .action((options: Options) => runGc(context(), options));
}

async function runGc(context: Context, options: Options): Promise<void> {
  using store = openStore(context);
  const roots = await criStorageRoots(context);
  const dryRun = options.dryRun === true;
  const now = new Date();
  const { command, graceMs } = { command: context.commandLine, graceMs: options.grace };
  const before = store.state;
  const { expired, waiting } = dropReleasedImages(
    store,
    { command, now, graceMs, dryRun },
    readEngineHoldings(store.layout, roots),
  );
  const without = new Set(expired);
  const cache = { now: now.getTime(), maxAgeMs: options.cacheAge, maxBytes: options.cacheSize };
  const inUse = moleculesInUse(store.layout, dryRun ? mountedInVain(store, without) : undefined);
  const containers = await sweepForgotten(DEFAULT_STATE_DIRECTORY, {
    dryRun,
    warn: (text) => context.output.say(`note: ${text}`),
  });
  const { paths, bytes } = collectGarbage(store, inUse, { dryRun, without, cache });
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
  };
  const would = dryRun ? " would be" : "";
  context.output.answer(answer, () =>
    [
      ...expired.map((config) => `image ${shownAs(before, config)}${would} removed: no engine holds it`),
      ...answer.waiting.map(
        ({ config, absentSince }) =>
          `image ${shownAs(before, config)} waits: no engine holds it since ${absentSince}`,
      ),
      ...containers.map(
        (id) => `container ${shortId(id)}${would} removed: it has ended, and its engine has forgotten it`,
      ),
      ...(dryRun ? paths : []),
      `${paths.length} file(s), ${bytesText(bytes)}${would} removed`,
    ].join("\n"),
  );
}

/** A disk that is full is no reason for gc to fail. */
function noteGc({ layout }: Store, record: GcRecord): void {
  try {
    writeGcRecord(layout, record);
  } catch (error) {
    if (!hasCode(error, "ENOSPC", "EDQUOT")) throw error;
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
