/** Images that Podman, CRI-O or buildah hold in containers/storage, by the overlay driver. Rules: docs/formats/import.md. */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { parseSha256, type Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import {
  bigDataFileName,
  type ContainerEntry,
  type ImageEntry,
  type LayerEntry,
  MAX_INDEX,
  parseContainerEntries,
  parseImageEntries,
  parseLayerEntries,
} from "../formats/containers-storage/records.ts";
import {
  DEFAULT_STORAGE_CONF,
  parseStorageConf,
  type StorageConf,
} from "../formats/containers-storage/storage-conf.ts";
import { type ImageConfig, parseConfig } from "../formats/oci/config.ts";
import { asObject, MAX_DOCUMENT } from "../formats/oci/json.ts";
import { parseManifest } from "../formats/oci/manifest.ts";
import { normalizeImageName } from "../formats/oci/reference.ts";
import { hasCode } from "../sys/ffi.ts";
import { readFileBounded } from "../sys/files.ts";

/** A layer as the engine unpacked it. */
export type StoredLayer = {
  readonly id: string;
  /** SHA-256 of the uncompressed tar, as the image's config names it. */
  readonly diffId: Sha256;
  /** The unpacked files; whiteouts in overlay's form. Nobody changes it as long as the layer exists. */
  readonly directory: string;
  /** What of the tar is not in the files; layers that were not unpacked from a tar have none. */
  readonly tarSplit: string | undefined;
  /** Owners on disk are not those of the image. */
  readonly idMapped: boolean;
};

export type StoredImage = {
  /** The engines' image id. */
  readonly configDigest: Sha256;
  /** Full names, perhaps none. */
  readonly names: readonly string[];
  /** The store that has it: the engine's own or an additional one. */
  readonly store: string;
};

/** An image with its documents, which are verified. */
export type OpenedImage = StoredImage & {
  readonly manifestDigest: Sha256;
  readonly manifestBytes: Uint8Array;
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
  /** Lowest first. */
  readonly layers: readonly StoredLayer[];
};

/** What one engine holds, as it was when this was opened. */
export type ContainersStorage = {
  readonly graphRoot: string;
  /** The engine's own first; an image that several stores have comes once. */
  readonly images: readonly StoredImage[];
  /** @throws AtomfsError "not-found", also for what several images could be */
  findImage(nameOrId: string): StoredImage;
  /** The image of a container of the engine; undefined for one that is unknown or was made without an image. */
  imageOfContainer(id: string): StoredImage | undefined;
  /** Ids of the images of all containers, stopped ones too; also of images that have no record any more. */
  imagesOfContainers(): ReadonlySet<Sha256>;
  /** @throws AtomfsError "bad-data", "untrusted" or "unsupported" for an image that cannot be read */
  openImage(image: StoredImage): OpenedImage;
};

type Store = {
  readonly root: string;
  readonly images: readonly ImageEntry[];
  readonly layers: ReadonlyMap<string, LayerEntry>;
};

const CONF_FILES = ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"];
const MAX_CONF = 1024 * 1024;
const MAX_LAYERS = 1024;

/** The engine's configuration: CONTAINERS_STORAGE_CONF, else the machine's, else the built-in one. */
export function readStorageConf(
  env: Readonly<Record<string, string | undefined>> = process.env,
): StorageConf {
  const chosen = env["CONTAINERS_STORAGE_CONF"];
  const file = chosen === undefined || chosen === "" ? CONF_FILES.find((path) => existsSync(path)) : chosen;
  if (file === undefined) return DEFAULT_STORAGE_CONF;
  try {
    const text = readFileBounded(realpathSync(file), MAX_CONF).toString("utf8");
    return parseStorageConf(asObject(Bun.TOML.parse(text), file));
  } catch (cause) {
    if (cause instanceof AtomfsError) throw cause;
    const why = cause instanceof Error ? cause.message.slice(0, 200) : String(cause);
    throw new AtomfsError("bad-data", `Cannot read ${file}: ${why}`, { cause });
  }
}

/**
 * Reads the engine's indexes; no engine has to run.
 * @throws AtomfsError "unsupported" for another driver than overlay, "bad-data", "not-found" if there is no storage
 */
export function openContainersStorage(conf: StorageConf = readStorageConf()): ContainersStorage {
  if (conf.driver !== "" && conf.driver !== "overlay") {
    throw new AtomfsError(
      "unsupported",
      `Cannot read the engine's storage: its driver is ${conf.driver}, not overlay`,
    );
  }
  if (!existsSync(join(conf.graphRoot, "overlay-images"))) {
    throw new AtomfsError("not-found", `Cannot find any engine's images in ${conf.graphRoot}`, {
      hints: ["CONTAINERS_STORAGE_CONF says where another storage.conf is"],
    });
  }
  const graphRoot = realpathSync(conf.graphRoot);
  const others = conf.imageStores.filter((path) => existsSync(path)).map((path) => realpathSync(path));
  const stores = [graphRoot, ...others].map(readStore);
  const images = new Map<string, StoredImage>();
  for (const { root, images: entries } of stores) {
    for (const { id, names } of entries)
      if (!images.has(id)) images.set(id, { configDigest: parseSha256(id), names, store: root });
  }
  const all = [...images.values()];
  return {
    graphRoot,
    images: all,
    findImage: (nameOrId) => chooseImage(all, nameOrId),
    imageOfContainer: (id) => {
      const found = readContainers(graphRoot, conf.runRoot).find((entry) => entry.id === id);
      return found?.image === undefined ? undefined : images.get(found.image);
    },
    imagesOfContainers: () =>
      new Set(
        readContainers(graphRoot, conf.runRoot).flatMap(({ image }) =>
          image === undefined ? [] : [parseSha256(image)],
        ),
      ),
    openImage: (image) => openImage(stores, image),
  };
}

function readStore(root: string): Store {
  // Images first: the layers of an image that is listed are there, unless it is removed right now.
  const images = parseImageEntries(readIndex(join(root, "overlay-images", "images.json")));
  const layers = parseLayerEntries(readIndex(join(root, "overlay-layers", "layers.json")));
  return { root, images, layers: new Map(layers.map((layer) => [layer.id, layer])) };
}

/** Containers that need not outlive a reboot have an index of their own; with a transient store it is below the run root. */
function readContainers(graphRoot: string, runRoot: string): ContainerEntry[] {
  return [
    join(graphRoot, "overlay-containers", "containers.json"),
    join(graphRoot, "overlay-containers", "volatile-containers.json"),
    join(runRoot, "overlay-containers", "volatile-containers.json"),
  ].flatMap((path) => parseContainerEntries(readIndex(path)));
}

function readIndex(path: string): string {
  try {
    return readFileBounded(path, MAX_INDEX).toString("utf8");
  } catch (error) {
    // A storage that never had an image, or never a container.
    if (hasCode(error, "ENOENT")) return "[]";
    throw error;
  }
}

function chooseImage(images: readonly StoredImage[], wanted: string): StoredImage {
  const full = normalizedOrSame(wanted);
  const exact = images.find(({ names }) => names.includes(wanted) || names.includes(full));
  if (exact !== undefined) return exact;
  const id = wanted.replace(/^(sha256:|@)/, "");
  const tagged = /[:@][^/]*$/.test(wanted) ? wanted : `${wanted}:latest`;
  const candidates = images.filter(
    ({ configDigest, names }) =>
      (/^[0-9a-f]{12,64}$/.test(id) && configDigest.startsWith(id)) ||
      names.some((name) => name.endsWith(`/${tagged}`)),
  );
  const [only] = candidates;
  if (only !== undefined && candidates.length === 1) return only;
  const known = images.flatMap(({ names }) => names).slice(0, 20);
  throw new AtomfsError(
    "not-found",
    candidates.length === 0
      ? `Cannot find image ${wanted} in the engine's storage`
      : `Cannot choose an image: ${candidates.length} could be ${wanted}`,
    { hints: [`images there: ${known.length === 0 ? "none with a name" : known.join(", ")}`] },
  );
}

function normalizedOrSame(name: string): string {
  try {
    return normalizeImageName(name);
  } catch (error) {
    if (error instanceof AtomfsError) return name;
    throw error;
  }
}

function openImage(stores: readonly Store[], image: StoredImage): OpenedImage {
  const id = image.configDigest;
  const entry = stores.find(({ root }) => root === image.store)?.images.find((each) => each.id === id);
  if (entry === undefined) throw new TypeError("An image of another storage");
  const configBytes = readBigData(image, `sha256:${id}`);
  if (sha256(configBytes) !== id)
    throw new AtomfsError("untrusted", `Cannot use image ${id.slice(0, 12)}: its config has another digest`);
  const config = parseConfig(configBytes);
  const manifestBytes = readBigData(image, "manifest");
  const manifest = parseManifest(manifestBytes);
  if (manifest.config.digest !== id)
    throw new AtomfsError(
      "untrusted",
      `Cannot use image ${id.slice(0, 12)}: its manifest is of another image`,
    );
  return {
    ...image,
    manifestDigest: sha256(manifestBytes),
    manifestBytes,
    configBytes,
    config,
    layers: layersOf(stores, entry, config),
  };
}

function readBigData(image: StoredImage, key: string): Uint8Array {
  const path = join(image.store, "overlay-images", image.configDigest, bigDataFileName(key));
  try {
    return readFileBounded(path, MAX_DOCUMENT);
  } catch (cause) {
    if (!hasCode(cause, "ENOENT")) throw cause;
    throw new AtomfsError(
      "bad-data",
      `Cannot use image ${image.configDigest.slice(0, 12)}: the engine has no ${key}`,
      {
        cause,
      },
    );
  }
}

function layersOf(stores: readonly Store[], image: ImageEntry, config: ImageConfig): StoredLayer[] {
  const chain: { readonly store: Store; readonly layer: LayerEntry }[] = [];
  for (let id = image.layer; id !== undefined; id = chain[0]?.layer.parent) {
    const wanted = id;
    const store = stores.find(({ layers }) => layers.has(wanted));
    const layer = store?.layers.get(wanted);
    if (store === undefined || layer === undefined || chain.length > MAX_LAYERS)
      throw new AtomfsError(
        "bad-data",
        `Cannot use image ${image.id.slice(0, 12)}: the engine has lost its layer ${id}`,
      );
    chain.unshift({ store, layer });
  }
  if (chain.length !== config.diffIds.length) {
    throw new AtomfsError(
      "bad-data",
      `Cannot use image ${image.id.slice(0, 12)}: ${chain.length} layers, but its config names ${config.diffIds.length}`,
    );
  }
  return chain.map(({ store, layer }, index) => storedLayer(store, layer, config.diffIds[index] as Sha256));
}

function storedLayer(store: Store, layer: LayerEntry, diffId: Sha256): StoredLayer {
  const shown = `layer ${layer.id.slice(0, 12)}`;
  if (layer.diffId !== undefined && layer.diffId !== diffId)
    throw new AtomfsError(
      "untrusted",
      `Cannot use ${shown}: its config wants diff id ${diffId}, it has ${layer.diffId}`,
    );
  const home = join(store.root, "overlay", layer.id);
  const directory = join(home, "diff");
  const stat = lstatSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) throw new AtomfsError("bad-data", `Cannot use ${shown}: ${directory} is missing`);
  if (!stat.isDirectory() || existsSync(join(home, "composefs-data")))
    throw new AtomfsError(
      "unsupported",
      `Cannot use ${shown}: its files are not in a directory of their own`,
    );
  const tarSplit = join(store.root, "overlay-layers", `${layer.id}.tar-split.gz`);
  return {
    id: layer.id,
    diffId,
    directory,
    tarSplit: existsSync(tarSplit) ? tarSplit : undefined,
    idMapped: layer.idMapped,
  };
}

function sha256(bytes: Uint8Array): Sha256 {
  return parseSha256(createHash("sha256").update(bytes).digest("hex"));
}
