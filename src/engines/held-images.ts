import { realpathSync } from "node:fs";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { StorageConf } from "../formats/containers-storage/storage-conf.ts";
import {
  type ContainersStorage,
  openContainersStorage,
  readStorageConf,
} from "../sources/containers-storage.ts";
import type { HeldImages } from "../store/engine-images.ts";
import type { StoreLayout } from "../store/layout.ts";

export type EngineHoldings = HeldImages & {
  /** Images that containers are made of, stopped ones too. */
  readonly ofContainers: ReadonlySet<Sha256>;
};

/**
 * What Podman, CRI-O and buildah hold in this machine's containers/storage; what they see in AtomFS's own image store is
 * not theirs. Undefined if there is no such storage, or none of the driver overlay: the others share nothing with AtomFS.
 * @param otherRoots graph roots besides that of `conf`
 * @param conf default: that of CONTAINERS_STORAGE_CONF or the machine's storage.conf
 * @throws AtomfsError "bad-data" if there is one that cannot be read
 */
export function readEngineHoldings(
  layout: StoreLayout,
  otherRoots: readonly string[] = [],
  conf: StorageConf = readStorageConf(),
): EngineHoldings | undefined {
  const own = realpathSync(layout.imageStore);
  const storages = openStorages(otherRoots, conf);
  if (storages.size === 0) return undefined;
  const held = new Map<Sha256, string>();
  const ofContainers = new Set<Sha256>();
  for (const [root, storage] of storages) {
    for (const { store, configDigest } of storage.images)
      if (store !== own && !held.has(configDigest)) held.set(configDigest, root);
    for (const config of storage.imagesOfContainers()) {
      ofContainers.add(config);
      if (!held.has(config)) held.set(config, root);
    }
  }
  return { storages: new Set(storages.keys()), held, ofContainers };
}

/** The storages that there are, by their graph roots; that of `conf` first. As `readEngineHoldings`. */
export function openStorages(
  otherRoots: readonly string[],
  conf: StorageConf = readStorageConf(),
): ReadonlyMap<string, ContainersStorage> {
  const others = otherRoots.map((graphRoot) => ({ ...conf, driver: "overlay", graphRoot }));
  const found = new Map<string, ContainersStorage>();
  for (const each of [conf, ...others]) {
    const storage = openIfThere(() => openContainersStorage(each));
    if (storage !== undefined) found.set(storage.graphRoot, storage);
  }
  return found;
}

function openIfThere(open: () => ContainersStorage): ContainersStorage | undefined {
  try {
    return open();
  } catch (error) {
    if (error instanceof AtomfsError && (error.kind === "not-found" || error.kind === "unsupported"))
      return undefined;
    throw error;
  }
}
