import { realpathSync } from "node:fs";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { type ContainersStorage, openContainersStorage } from "../sources/containers-storage.ts";
import type { HeldImages } from "../store/engine-images.ts";
import type { StoreLayout } from "../store/layout.ts";

export type EngineHoldings = HeldImages & {
  /** Images that containers are made of, stopped ones too. */
  readonly ofContainers: ReadonlySet<Sha256>;
};

/**
 * What Podman, CRI-O and buildah hold in this machine's containers/storage; what they see in AtomFS's own image store is
 * not theirs. Undefined if there is no such storage, or one of another driver than overlay: it shares nothing with AtomFS.
 * @throws AtomfsError "bad-data" if there is one that cannot be read
 * @param open default: the storage of CONTAINERS_STORAGE_CONF or the machine's storage.conf
 */
export function readEngineHoldings(
  layout: StoreLayout,
  open: () => ContainersStorage = openContainersStorage,
): EngineHoldings | undefined {
  let storage: ContainersStorage;
  try {
    storage = open();
  } catch (error) {
    if (error instanceof AtomfsError && (error.kind === "not-found" || error.kind === "unsupported"))
      return undefined;
    throw error;
  }
  const own = realpathSync(layout.imageStore);
  const ofContainers = storage.imagesOfContainers();
  const records = storage.images.filter((image) => image.store !== own).map((image) => image.configDigest);
  return { storage: storage.graphRoot, held: new Set([...records, ...ofContainers]), ofContainers };
}
