import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { Sha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import {
  moleculeTreeSize,
  mountedMolecules,
  mountMolecule,
  readyMolecule,
  sweepAbandonedLayers,
  unmountMolecule,
} from "../../mounts/molecule-mounts.ts";
import { cameFromEngine } from "../../store/engine-images.ts";
import { currentGeneration, namesOf } from "../../store/state.ts";
import type { Store } from "../../store/store.ts";
import type { PublishedImage } from "./image-records.ts";
import {
  diffTarget,
  publishedImages,
  publishImage,
  setDiffTarget,
  setImageNames,
  unpublishImage,
} from "./image-store.ts";

export type Deployed = { readonly config: Sha256; readonly target: string; readonly isNew: boolean };

/**
 * Makes what engines see in the image store follow the journal: images published under their names, their trees the
 * mounted current molecules. An image that came from an engine's own storage is there already: it is published only if it is
 * asked for, and from then on. A container that runs keeps its old root; its next start gets the new one.
 * Safe to repeat at any time, also after a reboot, when all mounts are gone.
 * @throws AtomfsError of the first image's kind if some images cannot be deployed. Those keep what the engines had of them;
 * all others are deployed
 */
export function deployImages(store: Store, askedFor: readonly Sha256[] = []): Deployed[] {
  using _lock = store.lock();
  const { layout, state } = store;
  sweepAbandonedLayers(layout, new Date());
  unpublishRemoved(store);
  const published = new Map(publishedImages(layout.imageStore).map((image) => [image.config, image]));
  const deployed: Deployed[] = [];
  const failures: { readonly name: string; readonly error: AtomfsError }[] = [];
  const wanted = new Set<string>();
  for (const [config, image] of state.images) {
    const known = published.get(config);
    const isPublished = known !== undefined || askedFor.includes(config) || !cameFromEngine(image);
    try {
      if (!isPublished) {
        readyForStart(store, config);
        continue;
      }
      const each = deployImage(store, config, known);
      wanted.add(basename(each.target));
      deployed.push(each);
    } catch (error) {
      if (!(error instanceof AtomfsError)) throw error;
      failures.push({ name: namesOf(state, config)[0] ?? config.slice(0, 12), error });
      if (known !== undefined) wanted.add(basename(diffTarget(layout.imageStore, config)));
    }
  }
  for (const molecule of mountedMolecules(layout))
    if (!wanted.has(molecule)) unmountMolecule(layout, molecule);
  if (failures.length > 0) throw notDeployed(failures, deployed.length);
  return deployed;
}

/**
 * Takes images and names that the journal no longer has out of what engines see, and the mounts that no image needs away. Nothing is mounted:
 * safe also where the image store is not in use.
 */
export function withdrawRemovedImages(store: Store): void {
  using _lock = store.lock();
  const { layout, state } = store;
  unpublishRemoved(store);
  for (const image of publishedImages(layout.imageStore))
    setNames(layout.imageStore, image, namesOf(state, image.config));
  const current = new Set(
    [...state.images.keys()].map((config) => currentGeneration(state, config)?.molecule),
  );
  for (const molecule of mountedMolecules(layout))
    if (!current.has(molecule)) unmountMolecule(layout, molecule);
}

/** Whoever removed the image from the journal has made sure that no container is made of it. */
function unpublishRemoved(store: Store): void {
  const { layout, state } = store;
  for (const { config } of publishedImages(layout.imageStore))
    if (!state.images.has(config)) unpublishImage(layout.imageStore, config);
}

function setNames(imageStore: string, { config, names }: PublishedImage, wanted: readonly string[]): void {
  if ([...names].sort().join() !== wanted.join()) setImageNames(imageStore, config, wanted);
}

function notDeployed(
  failures: readonly { readonly name: string; readonly error: AtomfsError }[],
  others: number,
): AtomfsError {
  const [first] = failures;
  const reasons = failures.map(({ name, error }) => `${name} (${error.message})`).join(", ");
  return new AtomfsError(
    first?.error.kind ?? "failed",
    `Cannot deploy ${reasons}; ${others} other image(s) are deployed`,
    { hints: [...new Set(failures.flatMap(({ error }) => error.hints))], cause: first?.error },
  );
}

/** Containers of the engine's own image start on its molecule only if there is a fix in it. */
function readyForStart(store: Store, config: Sha256): void {
  const current = currentGeneration(store.state, config);
  if (current !== undefined && current.fixes.length > 0) readyMolecule(store.layout, current.molecule);
}

function deployImage(store: Store, config: Sha256, known: PublishedImage | undefined): Deployed {
  const { layout, state } = store;
  const molecule = store.currentMolecule(config);
  const { target, isNew } = mountMolecule(layout, molecule);
  const names = namesOf(state, config);
  if (known === undefined) publish(store, config, names, target, moleculeTreeSize(layout, molecule));
  else {
    if (diffTarget(layout.imageStore, config) !== target) setDiffTarget(layout.imageStore, config, target);
    setNames(layout.imageStore, known, names);
  }
  return { config, target, isNew };
}

function publish(
  store: Store,
  config: Sha256,
  names: readonly string[],
  target: string,
  treeSize: number,
): void {
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
    treeSize,
    diffTarget: target,
  });
}

const UNKNOWN_TIME = "1970-01-01T00:00:00Z";

/** The config's `created`, which is optional; it was parsed at import. */
function createdTime(configBytes: Uint8Array): string {
  const { created } = JSON.parse(Buffer.from(configBytes).toString("utf8")) as { created?: unknown };
  return typeof created === "string" && !Number.isNaN(Date.parse(created)) ? created : UNKNOWN_TIME;
}
