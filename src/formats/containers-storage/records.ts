/** The indexes of containers/storage, the library under Podman, CRI-O and buildah. Go's JSON: fields may be absent or null. */
import { parseOciDigest, type Sha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import {
  asObject,
  type JsonObject,
  optionalArray,
  optionalString,
  requiredString,
  stringArray,
} from "../oci/json.ts";

/** Bytes of one index that are read. A node with thousands of layers has some megabytes. */
export const MAX_INDEX: number = 256 * 1024 * 1024;
const MAX_ENTRIES = 100_000;
/** Ids are names of directories. Of images and layers they are digests, always; so they never lead out of the storage. */
const ID = /^[0-9a-f]{64}$/;

export type ImageEntry = {
  readonly id: string;
  readonly names: readonly string[];
  /** Of the topmost layer; undefined for an image without layers. */
  readonly layer: string | undefined;
  readonly bigDataNames: readonly string[];
};

export type LayerEntry = {
  readonly id: string;
  readonly parent: string | undefined;
  /** SHA-256 of the uncompressed tar. Layers that were pulled in parts may have none. */
  readonly diffId: Sha256 | undefined;
  /** Owners on disk are not those of the image. */
  readonly idMapped: boolean;
};

export type ContainerEntry = {
  readonly id: string;
  /** undefined for a container that was made without an image. */
  readonly image: string | undefined;
  readonly layer: string;
};

/** `overlay-images/images.json`. @throws AtomfsError "bad-data", as the two others */
export function parseImageEntries(text: string): ImageEntry[] {
  const what = "images.json";
  return entriesOf(text, what).map((entry) => ({
    id: idOf(requiredString(entry, "id", what), what),
    names: stringArray(entry, "names", what),
    layer: optionalId(entry, "layer", what),
    bigDataNames: stringArray(entry, "big-data-names", what),
  }));
}

/** `overlay-layers/layers.json`. */
export function parseLayerEntries(text: string): LayerEntry[] {
  const what = "layers.json";
  return entriesOf(text, what).map((entry) => {
    const digest = optionalString(entry, "diff-digest", what);
    return {
      id: idOf(requiredString(entry, "id", what), what),
      parent: optionalId(entry, "parent", what),
      diffId: digest === undefined || digest === "" ? undefined : parseOciDigest(digest),
      idMapped:
        optionalArray(entry, "uidmap", what).length > 0 || optionalArray(entry, "gidmap", what).length > 0,
    };
  });
}

const CONTAINERS = "containers.json";

/** `overlay-containers/containers.json`. */
export function parseContainerEntries(text: string): ContainerEntry[] {
  return entriesOf(text, CONTAINERS).map(containerEntry);
}

function containerEntry(entry: JsonObject): ContainerEntry {
  return {
    id: idOf(requiredString(entry, "id", CONTAINERS), CONTAINERS),
    image: optionalId(entry, "image", CONTAINERS),
    layer: idOf(requiredString(entry, "layer", CONTAINERS), CONTAINERS),
  };
}

/**
 * One container of that index; a start has no time to parse those of all others. The storage writes a list without
 * spaces whose objects begin with their id, and no string can hold an unescaped quotation mark; what is written in
 * another way is parsed whole.
 * @param id 64 hex digits
 * @throws AtomfsError "bad-data"
 */
export function findContainerEntry(index: Buffer, id: string): ContainerEntry | undefined {
  if (!index.includes(id, 0, "latin1")) return undefined;
  return soleEntry(index, id) ?? parseContainerEntries(index.toString("utf8")).find((each) => each.id === id);
}

function soleEntry(index: Buffer, id: string): ContainerEntry | undefined {
  const start = index.indexOf(`{"id":"${id}"`, 0, "latin1");
  if (start < 0) return undefined;
  const next = index.indexOf(',{"id":"', start, "latin1");
  const end = next < 0 ? index.lastIndexOf("]") : next;
  try {
    return containerEntry(asObject(JSON.parse(index.toString("utf8", start, end)), CONTAINERS));
  } catch {
    return undefined;
  }
}

function entriesOf(text: string, what: string): JsonObject[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AtomfsError("bad-data", `Cannot read ${what}: it is not JSON`, { cause });
  }
  // Go writes an empty list as null.
  if (value === null) return [];
  if (!Array.isArray(value) || value.length > MAX_ENTRIES)
    throw new AtomfsError(
      "bad-data",
      `Cannot read ${what}: it is not a list of at most ${MAX_ENTRIES} entries`,
    );
  return value.map((entry) => asObject(entry, what));
}

function optionalId(entry: JsonObject, key: string, what: string): string | undefined {
  const id = optionalString(entry, key, what);
  return id === undefined || id === "" ? undefined : idOf(id, what);
}

function idOf(text: string, what: string): string {
  if (ID.test(text)) return text;
  throw new AtomfsError(
    "bad-data",
    `Cannot read ${what}: "${text.slice(0, 80)}" is not an id of 64 hex digits`,
  );
}

/** The file below an image's directory that keeps big data: the key itself if it is plain, else "=" and its base64. */
export function bigDataFileName(key: string): string {
  return /^[.0-9a-z]+$/.test(key) ? key : `=${Buffer.from(key).toString("base64")}`;
}
