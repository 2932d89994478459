import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { VerityDigest } from "../core/digest.ts";
import { lockFile } from "../sys/lock.ts";
import { objectName } from "./layout.ts";
import { findReachable } from "./reachable.ts";
import type { Store } from "./store.ts";

export type Garbage = { readonly paths: readonly string[]; readonly bytes: number };

/**
 * Removes what nothing needs: no name, generation, fix or plan in the journal, no lease and no live mount.
 * Waits until nobody adds to the store. With `dryRun` it only says what it would remove.
 * @param inUse molecules that leases and mounts need
 */
export function collectGarbage(
  store: Store,
  inUse: ReadonlySet<VerityDigest>,
  options: { readonly dryRun: boolean },
): Garbage {
  using _adders = lockFile(store.layout.gcLock, "exclusive", { wait: true });
  using _lock = store.lock();
  const paths = findGarbage(store, inUse);
  const bytes = paths.reduce((sum, path) => sum + sizeOf(path), 0);
  if (!options.dryRun) for (const path of paths) rmSync(path, { recursive: true, force: true });
  return { paths, bytes };
}

function findGarbage(store: Store, inUse: ReadonlySet<VerityDigest>): string[] {
  const { layout } = store;
  const reachable = findReachable(store, inUse);
  const garbage: string[] = [];
  const sweep = (directory: string, keep: (name: string) => boolean): void => {
    for (const name of readdirSync(directory)) if (!keep(name)) garbage.push(join(directory, name));
  };
  const objects = new Set([...reachable.objects].map(objectName));
  for (const folder of readdirSync(layout.objects)) {
    sweep(join(layout.objects, folder), (name) => objects.has(`${folder}/${name}`));
  }
  sweep(layout.molecules, (name) => reachable.molecules.has(name.replace(/\.erofs$/, "") as VerityDigest));
  sweep(layout.trees, (name) => reachable.molecules.has(name as VerityDigest));
  sweep(layout.atoms, (name) => reachable.atoms.has(name as never));
  sweep(layout.images, (name) => reachable.images.has(name.replace(/\.(config|manifest)$/, "") as never));
  // Nobody adds now, so whatever is half-written was left by a crash.
  sweep(layout.tmp, () => false);
  return garbage;
}

function sizeOf(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}
