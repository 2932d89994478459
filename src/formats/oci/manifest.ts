/** Image indexes and manifests: OCI image-spec 1.1 and Docker's schema 2, which differ only in media types. */

import { parseOciDigest, type Sha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import {
  asObject,
  badOci,
  type JsonObject,
  optionalObject,
  optionalString,
  parseDocument,
  requiredArray,
  requiredSize,
  requiredString,
  stringMap,
} from "./json.ts";

export type Platform = {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
};

export type Descriptor = {
  readonly mediaType: string;
  readonly digest: Sha256;
  /** In bytes, of the blob as it is stored. */
  readonly size: number;
  readonly annotations: ReadonlyMap<string, string>;
  readonly platform: Platform | undefined;
};

export type ImageIndex = { readonly manifests: readonly Descriptor[] };

export type ImageManifest = {
  readonly config: Descriptor;
  /** Lowest first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: ReadonlyMap<string, string>;
};

const MAX_LAYERS = 1024;

const INDEX_TYPES = new Set([
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
]);
const MANIFEST_TYPES = new Set([
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
]);
const CONFIG_TYPES = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
]);
const LAYER_TYPE =
  /^application\/vnd\.(oci\.image\.layer(\.nondistributable)?\.v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.(diff|foreign\.diff)\.tar(\.gzip|\.zstd)?)$/;

export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.has(mediaType);
}

export function isManifestType(mediaType: string): boolean {
  return MANIFEST_TYPES.has(mediaType);
}

/** @throws AtomfsError "bad-data" */
export function parseIndex(bytes: Uint8Array): ImageIndex {
  const what = "image index";
  const document = schema2(bytes, what, INDEX_TYPES);
  const manifests = requiredArray(document, "manifests", what).map((item) => parseDescriptor(item, what));
  return { manifests };
}

/** @throws AtomfsError "bad-data", also for artifacts that are no images and for layers of unknown media types */
export function parseManifest(bytes: Uint8Array): ImageManifest {
  const what = "image manifest";
  const document = schema2(bytes, what, MANIFEST_TYPES);
  const config = parseDescriptor(document["config"], `${what}, config`);
  if (!CONFIG_TYPES.has(config.mediaType))
    throw badOci(`${what}: it is not of a container image (config type ${config.mediaType})`);
  const layers = requiredArray(document, "layers", what).map((item) =>
    parseDescriptor(item, `${what}, layer`),
  );
  if (layers.length > MAX_LAYERS) throw badOci(`${what}: it has more than ${MAX_LAYERS} layers`);
  for (const layer of layers) {
    if (!LAYER_TYPE.test(layer.mediaType))
      throw badOci(`${what}: layer type ${layer.mediaType.slice(0, 100)} is not supported`);
  }
  return { config, layers, annotations: stringMap(document, "annotations", what) };
}

function schema2(bytes: Uint8Array, what: string, mediaTypes: ReadonlySet<string>): JsonObject {
  const document = parseDocument(bytes, what);
  if (document["schemaVersion"] !== 2) throw badOci(`${what}: its schemaVersion is not 2`);
  const mediaType = optionalString(document, "mediaType", what);
  if (mediaType !== undefined && mediaType !== "" && !mediaTypes.has(mediaType))
    throw badOci(`${what}: it calls itself ${mediaType.slice(0, 100)}`);
  return document;
}

function parseDescriptor(value: unknown, what: string): Descriptor {
  const object = asObject(value, what);
  return {
    mediaType: requiredString(object, "mediaType", what),
    digest: digestOf(requiredString(object, "digest", what), what),
    size: requiredSize(object, "size", what),
    annotations: stringMap(object, "annotations", what),
    platform: Object.hasOwn(object, "platform") ? parsePlatform(object, what) : undefined,
  };
}

function digestOf(text: string, what: string): Sha256 {
  try {
    return parseOciDigest(text);
  } catch (error) {
    if (error instanceof AtomfsError) throw badOci(`${what}: ${error.message}`, error);
    throw error;
  }
}

function parsePlatform(descriptor: JsonObject, what: string): Platform {
  const platform = optionalObject(descriptor, "platform", what);
  return {
    os: optionalString(platform, "os", what) ?? "",
    architecture: optionalString(platform, "architecture", what) ?? "",
    variant: optionalString(platform, "variant", what),
  };
}
