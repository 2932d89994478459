import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { LOCK_TIMEOUT_MS, lockFile } from "../sys/lock.ts";
import { objectName } from "./layout.ts";
import { findReachable, type Reachable } from "./reachable.ts";
import { type CacheLimits, findStaleCache } from "./stale-cache.ts";
import type { Store } from "./store.ts";

export type Garbage = { readonly paths: readonly string[]; readonly bytes: number };

export type GarbageOptions = {
  readonly dryRun: boolean;
  /** How long to wait for others. */
  readonly timeoutMs?: number;
  /** Only with `dryRun`: images that count as removed. */
  readonly without?: ReadonlySet<Sha256>;
  /** Without it, whole files in `cache/` stay. */
  readonly cache?: CacheLimits;
};

/**
 * Removes what nothing needs: no name, generation, fix or plan in the journal, no lease and no live mount.
 * Waits until nobody adds to the store. With `dryRun` it only says what it would remove.
 * @param inUse molecules that leases and mounts need
 * @throws AtomfsError "stale" if others do not end, "bad-data" if it can't be known what is needed; then nothing is
 * removed
 */
export function collectGarbage(
  store: Store,
  inUse: ReadonlySet<VerityDigest>,
  options: GarbageOptions,
): Garbage {
  const { timeoutMs = LOCK_TIMEOUT_MS } = options;
  using _adders = lockFile(store.layout.gcLock, "exclusive", { wait: true, timeoutMs });
  using _lock = store.lock();
  const reachable = findReachable(store, inUse, options.dryRun ? options.without : undefined);
  const stale = options.cache === undefined ? [] : findStaleCache(store.layout.cache, options.cache);
  const garbage = measureGarbage([...new Set([...findGarbage(store, reachable), ...stale])]);
  if (!options.dryRun) {
    for (const path of garbage.paths) rmSync(path, { recursive: true, force: true });
    pruneCatalog(store, reachable);
  }
  return garbage;
}

function measureGarbage(paths: readonly string[]): Garbage {
  return { paths, bytes: paths.reduce((sum, path) => sum + sizeOf(path), 0) };
}

/**
 * What nothing needs right now, without waiting for anybody: what another command adds meanwhile may be among it.
 * @throws AtomfsError "bad-data" if it can't be known what is needed
 */
export function estimateGarbage(store: Store, reachable: Reachable): Garbage {
  return measureGarbage(findGarbage(store, reachable));
}

/** After the files: on a full disk the catalog can't be opened before. Its rows of no image do no harm. */
function pruneCatalog(store: Store, reachable: Reachable): void {
  for (const config of store.catalog.images())
    if (!reachable.images.has(config)) store.catalog.removeImage(config);
}

function findGarbage(store: Store, reachable: Reachable): string[] {
  const { layout } = store;
  const garbage: string[] = [];
  const sweep = (directory: string, keep: (name: string) => boolean): void => {
    for (const name of readdirSync(directory)) if (!keep(name)) garbage.push(join(directory, name));
  };
  const objects = new Set([...reachable.objects].map(objectName));
  sweep(layout.objects, (name) => lstatSync(join(layout.objects, name)).isDirectory());
  for (const folder of readdirSync(layout.objects)) {
    if (lstatSync(join(layout.objects, folder)).isDirectory())
      sweep(join(layout.objects, folder), (name) => objects.has(`${folder}/${name}`));
  }
  const has = (known: ReadonlySet<string>, suffix: RegExp): ((name: string) => boolean) => {
    return (name) => known.has(name.replace(suffix, ""));
  };
  sweep(layout.molecules, has(reachable.molecules, /\.erofs$/));
  sweep(layout.trees, has(reachable.molecules, /$/));
  sweep(layout.atoms, has(reachable.atoms, /$/));
  sweep(layout.images, has(reachable.images, /\.(config|manifest)$/));
  sweep(layout.plans, has(reachable.plans, /$/));
  // Nobody adds now, so whatever is half-written was left by a crash.
  sweep(layout.tmp, () => false);
  for (const directory of [layout.cache, layout.imageStore]) garbage.push(...abandonedIn(directory));
  return garbage;
}

/** How `writeAtomic` and the image store name what is not finished, where that lies beside its target. */
const UNFINISHED = /^\..+\.\d+\.\d+$|\.\d+\.new$/;

function abandonedIn(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => !entry.isDirectory() && UNFINISHED.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Bytes that are freed: a file with another name, in an engine's layer, stays. */
function sizeOf(path: string): number {
  const stat = lstatSync(path);
  if (!stat.isDirectory()) return stat.nlink > 1 ? 0 : stat.size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}
