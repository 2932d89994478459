import { readFileSync } from "node:fs";
import type { Sha256 } from "../../core/digest.ts";
import { mountedMolecules, mountMolecule, unmountMolecule } from "../../mounts/molecule-mounts.ts";
import { namesOf } from "../../store/state.ts";
import type { Store } from "../../store/store.ts";
import { diffTarget, publishedImages, publishImage, setDiffTarget, setImageNames } from "./image-store.ts";

export type Deployed = { readonly config: Sha256; readonly target: string; readonly isNew: boolean };

/**
 * Makes what engines see in the image store follow the journal: every image published under its names, its tree the
 * mounted current molecule. A container that runs keeps its old root; its next start gets the new one.
 * Safe to repeat at any time, also after a reboot, when all mounts are gone.
 */
export function deployImages(store: Store): Deployed[] {
  using _lock = store.lock();
  const { layout, state } = store;
  const published = new Map(publishedImages(layout.imageStore).map((image) => [image.config, image]));
  const deployed: Deployed[] = [];
  const wanted = new Set<string>();
  for (const config of state.images.keys()) {
    const molecule = store.currentMolecule(config);
    wanted.add(molecule);
    const { target, isNew } = mountMolecule(layout, molecule);
    const names = namesOf(state, config);
    const known = published.get(config);
    if (known === undefined) publish(store, config, names, target);
    else {
      if (diffTarget(layout.imageStore, config) !== target) setDiffTarget(layout.imageStore, config, target);
      if ([...known.names].sort().join() !== names.join()) setImageNames(layout.imageStore, config, names);
    }
    deployed.push({ config, target, isNew });
  }
  for (const molecule of mountedMolecules(layout))
    if (!wanted.has(molecule)) unmountMolecule(layout, molecule);
  return deployed;
}

function publish(store: Store, config: Sha256, names: readonly string[], target: string): void {
  const { layout, state } = store;
  const image = state.images.get(config);
  if (image === undefined) throw new TypeError("A published image must be in the store");
  const configBytes = readFileSync(layout.imageConfig(config));
  publishImage({
    storeDir: layout.imageStore,
    configDigest: config,
    configBytes,
    manifestDigest: image.manifest,
    manifestBytes: readFileSync(layout.imageManifest(config)),
    names,
    created: createdTime(configBytes),
    diffTarget: target,
  });
}

const UNKNOWN_TIME = "1970-01-01T00:00:00Z";

/** The config's `created`, which is optional; it was parsed at import. */
function createdTime(configBytes: Uint8Array): string {
  const { created } = JSON.parse(Buffer.from(configBytes).toString("utf8")) as { created?: unknown };
  return typeof created === "string" && !Number.isNaN(Date.parse(created)) ? created : UNKNOWN_TIME;
}
