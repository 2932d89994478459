import { createHash } from "node:crypto";
import { parseSha256, type Sha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";

/** What c/storage's images.json keeps of one image that AtomFS publishes. */
export type PublishedImage = {
  /** The config's digest, which is the engines' image id. */
  readonly config: Sha256;
  readonly configSize: number;
  readonly manifest: Sha256;
  readonly manifestSize: number;
  /** Full references: registry or "localhost", repository, and a tag or a digest. */
  readonly names: readonly string[];
  /** RFC 3339, UTC. */
  readonly created: string;
  /** Bytes of the tree, for people only. */
  readonly treeSize: number;
};

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LINK_LENGTH = 26;
const EPOCH = "1970-01-01T00:00:00.000Z";

const HOST = /(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/;
const COMPONENT = /[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*/;
const SUFFIX = /(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})/;
const FULL_NAME = new RegExp(`^${HOST.source}(?:/${COMPONENT.source})+${SUFFIX.source}$`);
const LONGEST_NAME = 512;

/**
 * The one layer of a published image: every file of its molecule. Derived, so that it stays the same whenever the image
 * is published; unlike every digest of a real layer, so that no engine takes it for one while it pulls.
 */
export function layerIdOf(config: Sha256): Sha256 {
  return parseSha256(createHash("sha256").update(`atomfs image-store layer ${config}`).digest("hex"));
}

/** The short name of a layer that keeps overlay's mount options short: 26 of A-Z and 2-7. */
export function linkNameOf(layer: Sha256): string {
  const bytes = createHash("sha256").update(`atomfs image-store link ${layer}`).digest();
  return Array.from(bytes.subarray(0, LINK_LENGTH), (byte) => BASE32[byte & 31]).join("");
}

export function configKey(image: Pick<PublishedImage, "config">): string {
  return `sha256:${image.config}`;
}

export function manifestKey(image: Pick<PublishedImage, "manifest">): string {
  return `manifest-sha256:${image.manifest}`;
}

/**
 * A time as c/storage reads it. One that Go cannot parse would make the whole store unreadable for the engine, so
 * what is no time becomes 1970.
 */
export function rfc3339(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return EPOCH;
  const text = date.toISOString();
  return /^\d{4}-/.test(text) ? text : EPOCH;
}

/** @throws AtomfsError "usage" if an engine would not take the name as a full reference */
export function checkImageName(name: string): string {
  if (name.length <= LONGEST_NAME && FULL_NAME.test(name)) return name;
  throw new AtomfsError(
    "usage",
    `Cannot publish an image as "${name.slice(0, 100)}": it is no full image name`,
    {
      hints: ['want registry/repository:tag, as in "localhost/web:1.0"'],
    },
  );
}

/** Adds or replaces an image. A name belongs to one image only, the newest that claims it. */
export function withImage(images: readonly PublishedImage[], image: PublishedImage): PublishedImage[] {
  const names = new Set(image.names);
  const others = images.filter((other) => other.config !== image.config);
  return [
    ...others.map((other) => ({ ...other, names: other.names.filter((name) => !names.has(name)) })),
    { ...image, names: [...names] },
  ].sort((a, b) => (a.config < b.config ? -1 : 1));
}

/** overlay-images/images.json, as c/storage reads it (reference: its images.go, type Image). */
export function imagesJson(images: readonly PublishedImage[]): string {
  return JSON.stringify(
    images.map((image) => {
      const bigData = [
        { key: configKey(image), size: image.configSize, digest: `sha256:${image.config}` },
        { key: manifestKey(image), size: image.manifestSize, digest: `sha256:${image.manifest}` },
        { key: "manifest", size: image.manifestSize, digest: `sha256:${image.manifest}` },
      ];
      return {
        id: image.config,
        digest: `sha256:${image.manifest}`,
        names: image.names,
        layer: layerIdOf(image.config),
        metadata: "{}",
        "big-data-names": bigData.map(({ key }) => key),
        "big-data-sizes": Object.fromEntries(bigData.map(({ key, size }) => [key, size])),
        "big-data-digests": Object.fromEntries(bigData.map(({ key, digest }) => [key, digest])),
        created: image.created,
      };
    }),
  );
}

/**
 * overlay-layers/layers.json. Podman refuses an image whose layer has no diff-digest; but with a real layer's digest here, an
 * engine that pulls would take this layer for it, and would get fixed files under the old digest. So it is one of our own
 * that no layer can have.
 */
export function layersJson(images: readonly PublishedImage[]): string {
  return JSON.stringify(
    images.map((image) => {
      const id = layerIdOf(image.config);
      return {
        id,
        created: image.created,
        "diff-digest": `sha256:${createHash("sha256").update(`atomfs image-store diff ${id}`).digest("hex")}`,
        "diff-size": image.treeSize,
        flags: {},
      };
    }),
  );
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw damaged("an entry is no object");
  return value as Readonly<Record<string, unknown>>;
}

function damaged(why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot read the image store's index: ${why}`, {
    hints: ["remove the image-store directory of the store and publish the images again"],
  });
}

function size(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw damaged("a size is no number");
  return value;
}

function digest(value: unknown, prefix: string): Sha256 {
  if (typeof value !== "string" || !value.startsWith(prefix)) throw damaged("a digest is missing");
  return parseSha256(value.slice(prefix.length));
}

function parseList(json: string): readonly unknown[] {
  let list: unknown;
  try {
    list = JSON.parse(json);
  } catch {
    throw damaged("it is no JSON");
  }
  if (!Array.isArray(list)) throw damaged("it is no list");
  return list;
}

/** Reads what `imagesJson` and `layersJson` wrote. @throws AtomfsError "bad-data" */
export function parsePublishedImages(imagesText: string, layersText: string): PublishedImage[] {
  const sizes = new Map<unknown, number>();
  for (const value of parseList(layersText)) {
    const layer = record(value);
    sizes.set(layer["id"], size(layer["diff-size"]));
  }
  return parseList(imagesText).map((value) => {
    const entry = record(value);
    const config = digest(entry["id"], "");
    const bigData = record(entry["big-data-sizes"]);
    const names = entry["names"];
    if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) {
      throw damaged("an image has no list of names");
    }
    return {
      config,
      configSize: size(bigData[configKey({ config })]),
      manifest: digest(entry["digest"], "sha256:"),
      manifestSize: size(bigData["manifest"]),
      names,
      created: rfc3339(typeof entry["created"] === "string" ? entry["created"] : ""),
      // A crash between the two files can leave an image whose layer is not listed any more.
      treeSize: sizes.get(layerIdOf(config)) ?? 0,
    };
  });
}
