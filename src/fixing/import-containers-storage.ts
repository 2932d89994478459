import { realpathSync } from "node:fs";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { ContainersStorage, StoredImage } from "../sources/containers-storage.ts";
import { openStoredLayer } from "../sources/stored-layer.ts";
import { AdoptingSink, ChunkOrigins } from "../store/adopt.ts";
import { noteEngineImage } from "../store/engine-images.ts";
import type { Store } from "../store/store.ts";
import { type Imported, type ImportOptions, importLayers } from "./import-image.ts";

/** What every import of a run has in common; names and source come from the engine. */
export type StorageImportOptions = Omit<ImportOptions, "names" | "source"> & {
  /** Default: the names that the engine has for the image. */
  readonly names?: readonly string[];
};

/**
 * Takes an image that an engine holds into the store, from the engine's own layer directories: file data is shared, not
 * copied, where the filesystem is the same (reflink, else hard link).
 * @throws AtomfsError as `importImage`; "untrusted" if a layer is not what the engine unpacked
 */
export async function importFromContainersStorage(
  store: Store,
  storage: ContainersStorage,
  image: StoredImage,
  options: StorageImportOptions,
): Promise<Imported> {
  const opened = storage.openImage(image);
  using staging = store.beginObjects();
  const origins = new ChunkOrigins();
  const layers = opened.layers.map((layer) => openStoredLayer(layer, staging, origins));
  const sink = new AdoptingSink(staging, origins);
  const names = options.names ?? image.names;
  const source = `containers-storage:${names[0] ?? image.configDigest}`;
  const how = { ...options, names, source };
  const imported = await importLayers(store, { ...opened, layers }, { staging, sink }, how);
  using _lock = store.lock();
  noteEngineImage(store.layout, imported.image.config, storage.graphRoot);
  return imported;
}

export type StorageImports = {
  readonly imported: readonly { readonly image: StoredImage; readonly result: Imported }[];
  readonly failed: readonly { readonly image: StoredImage; readonly error: AtomfsError }[];
  /** Images that the store has already, and those that it shows to the engine itself. */
  readonly known: readonly StoredImage[];
};

/**
 * All images of the engines that the store doesn't have; one that several have is that of the first. One that cannot be imported is told, the others
 * go on.
 * @throws AtomfsError "interrupted"
 */
export async function importAllFromContainersStorage(
  store: Store,
  storages: readonly ContainersStorage[],
  options: Omit<StorageImportOptions, "names">,
): Promise<StorageImports> {
  const own = realpathSync(store.layout.imageStore);
  const isKnown = ({ configDigest, store: where }: StoredImage): boolean =>
    store.state.images.has(configDigest) || where === own;
  const images = new Map<Sha256, { readonly image: StoredImage; readonly storage: ContainersStorage }>();
  for (const storage of storages)
    for (const image of storage.images)
      if (!images.has(image.configDigest)) images.set(image.configDigest, { image, storage });
  const all = [...images.values()];
  const known = all.filter(({ image }) => isKnown(image)).map(({ image }) => image);
  const imported: { image: StoredImage; result: Imported }[] = [];
  const failed: { image: StoredImage; error: AtomfsError }[] = [];
  for (const { image, storage } of all.filter((each) => !known.includes(each.image))) {
    try {
      imported.push({ image, result: await importFromContainersStorage(store, storage, image, options) });
    } catch (error) {
      if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
      failed.push({ image, error });
    }
  }
  return { imported, failed, known };
}
