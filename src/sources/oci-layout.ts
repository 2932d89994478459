/** Images in an OCI layout directory (OCI image-spec 1.1, image-layout.md), as skopeo, umoci and Podman write them. */
import { constants } from "node:fs";
import { type FileHandle, lstat, open } from "node:fs/promises";
import { join } from "node:path";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { type ImageConfig, parseConfig } from "../formats/oci/config.ts";
import { MAX_DOCUMENT, parseDocument } from "../formats/oci/json.ts";
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  parseIndex,
  parseManifest,
} from "../formats/oci/manifest.ts";
import { decompress } from "./decompress.ts";
import { verified } from "./verified.ts";

/** The largest uncompressed layer that is read, in bytes: gzip can pack 1,000 times more than it weighs. */
export const MAX_LAYER_SIZE: number = 128 * 1024 ** 3;

export type SourceLayer = {
  /** SHA-256 of the uncompressed tar. */
  readonly diffId: Sha256;
  /** SHA-256 and size of the blob as it is stored. */
  readonly digest: Sha256;
  readonly size: number;
  /**
   * The uncompressed tar. All digests and sizes are verified on the way; a wrong one is an error at the end, so what
   * was read counts only once this ended well. Each call reads anew.
   */
  open(): AsyncIterable<Uint8Array>;
};

/** An image, wherever it is. Its JSON documents are verified; its layers are as they are read. */
export type SourceImage = {
  readonly configDigest: Sha256;
  readonly manifestDigest: Sha256;
  readonly manifestBytes: Uint8Array;
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
  /** Lowest first. */
  readonly layers: readonly SourceLayer[];
};

const TAG_ANNOTATION = "org.opencontainers.image.ref.name";
const MAX_NESTING = 4;
const CHUNK = 1024 * 1024;
// NONBLOCK: opening a FIFO that stands in a blob's place must not wait for a writer.
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Opens one image of a layout: the one with this tag, or the only one; of a multi-platform image, this machine's.
 * @throws AtomfsError "not-found" for an unknown tag, "bad-data" or "untrusted" for a layout that is damaged
 */
export async function openOciLayout(directory: string, tag?: string): Promise<SourceImage> {
  await requireLayout(directory);
  const index = parseIndex(await readDocument(join(directory, "index.json"), "index.json"));
  const descriptor = await findManifest(directory, tagged(index.manifests, directory, tag), 0);
  const manifestBytes = await readBlob(directory, descriptor);
  const manifest = parseManifest(manifestBytes);
  const configBytes = await readBlob(directory, manifest.config);
  const config = parseConfig(configBytes);
  if (config.os !== "" && config.os !== "linux")
    throw new AtomfsError("bad-data", `Cannot use image: it is for ${config.os.slice(0, 40)}, not for Linux`);
  if (config.diffIds.length !== manifest.layers.length) {
    throw new AtomfsError(
      "bad-data",
      `Cannot use image: ${manifest.layers.length} layers, but its config names ${config.diffIds.length}`,
    );
  }
  return {
    configDigest: manifest.config.digest,
    manifestDigest: descriptor.digest,
    manifestBytes,
    configBytes,
    config,
    layers: config.diffIds.map((diffId, i) => layerOf(directory, manifest.layers[i], diffId)),
  };
}

async function requireLayout(directory: string): Promise<void> {
  const marker = parseDocument(await readDocument(join(directory, "oci-layout"), "oci-layout"), "oci-layout");
  if (marker["imageLayoutVersion"] !== "1.0.0")
    throw new AtomfsError("bad-data", `Cannot read ${directory}: only OCI layout version 1.0.0 is supported`);
  for (const inside of ["blobs", "blobs/sha256"]) {
    const stat = await lstat(join(directory, inside)).catch(() => undefined);
    if (stat?.isDirectory() !== true)
      throw new AtomfsError("bad-data", `Cannot read ${directory}: ${inside} is not a directory`);
  }
}

function tagged(
  manifests: readonly Descriptor[],
  directory: string,
  tag: string | undefined,
): readonly Descriptor[] {
  const tagOf = (descriptor: Descriptor): string | undefined => descriptor.annotations.get(TAG_ANNOTATION);
  const tags = [...new Set(manifests.map(tagOf))].filter((name) => name !== undefined);
  const hints = [`tags in this layout: ${tags.length === 0 ? "none" : tags.slice(0, 20).join(", ")}`];
  if (tag !== undefined) {
    const found = manifests.filter((descriptor) => tagOf(descriptor) === tag);
    if (found.length === 0)
      throw new AtomfsError("not-found", `Cannot find image ${tag} in ${directory}`, { hints });
    return found;
  }
  if (manifests.length === 0) throw new AtomfsError("not-found", `Cannot find any image in ${directory}`);
  if (new Set(manifests.map(tagOf)).size > 1)
    throw new AtomfsError("not-found", `Cannot choose an image of ${directory}: it holds several`, { hints });
  return manifests;
}

/** Down through nested indexes to the manifest for this machine. */
async function findManifest(
  directory: string,
  candidates: readonly Descriptor[],
  depth: number,
): Promise<Descriptor> {
  if (depth > MAX_NESTING)
    throw new AtomfsError("bad-data", "Cannot use image: its indexes are nested too deeply");
  const usable = candidates.filter((c) => isIndexType(c.mediaType) || isManifestType(c.mediaType));
  const chosen =
    usable.length === 1 && usable[0]?.platform === undefined ? usable[0] : forThisMachine(usable);
  if (chosen === undefined) {
    const offered = candidates.map((c) => `${c.platform?.os ?? "?"}/${c.platform?.architecture ?? "?"}`);
    throw new AtomfsError(
      "not-found",
      `Cannot use image: it has no manifest for linux/${hostArchitecture()}`,
      {
        hints: [`it is for: ${offered.slice(0, 20).join(", ")}`],
      },
    );
  }
  if (isManifestType(chosen.mediaType)) return chosen;
  return findManifest(directory, parseIndex(await readBlob(directory, chosen)).manifests, depth + 1);
}

function forThisMachine(candidates: readonly Descriptor[]): Descriptor | undefined {
  const fitting = candidates.filter(
    ({ platform }) => platform?.os === "linux" && platform.architecture === hostArchitecture(),
  );
  // amd64 variants (v2, v3) need newer processors than the plain one does.
  return fitting.find(({ platform }) => platform?.variant === undefined) ?? fitting[0];
}

function hostArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

function layerOf(directory: string, descriptor: Descriptor | undefined, diffId: Sha256): SourceLayer {
  if (descriptor === undefined) throw new AtomfsError("bad-data", "Cannot use image: it lacks a layer");
  const { digest, size } = descriptor;
  return {
    diffId,
    digest,
    size,
    open: () => {
      const blob = verified(readChunks(blobPath(directory, digest), size), {
        digest,
        size,
        what: `layer blob sha256:${digest}`,
      });
      return verified(decompress(blob, MAX_LAYER_SIZE), {
        digest: diffId,
        what: `layer with diff id ${diffId}`,
      });
    },
  };
}

async function readBlob(directory: string, { digest, size }: Descriptor): Promise<Uint8Array> {
  if (size > MAX_DOCUMENT)
    throw new AtomfsError(
      "bad-data",
      `Cannot read blob sha256:${digest}: ${size} bytes are over the limit of ${MAX_DOCUMENT}`,
    );
  const chunks = readChunks(blobPath(directory, digest), size);
  return Buffer.concat(
    await Array.fromAsync(verified(chunks, { digest, size, what: `blob sha256:${digest}` })),
  );
}

/** A `Sha256` is 64 hex digits, so this never leaves the directory. */
function blobPath(directory: string, digest: Sha256): string {
  return join(directory, "blobs", "sha256", digest);
}

async function readDocument(path: string, what: string): Promise<Uint8Array> {
  await using file = await openRegular(path);
  const { size } = await file.stat();
  if (size > MAX_DOCUMENT)
    throw new AtomfsError(
      "bad-data",
      `Cannot read ${what}: ${size} bytes are over the limit of ${MAX_DOCUMENT}`,
    );
  return file.readFile();
}

async function* readChunks(path: string, size: number): AsyncGenerator<Uint8Array, void, void> {
  await using file = await openRegular(path);
  const stat = await file.stat();
  if (stat.size !== size)
    throw new AtomfsError("bad-data", `Cannot read ${path}: it has ${stat.size} bytes, want ${size}`);
  for (;;) {
    // A new buffer each time: consumers may keep views.
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(CHUNK), 0, CHUNK);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function openRegular(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, OPEN_FLAGS);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    throw new AtomfsError(code === "ENOENT" ? "not-found" : "bad-data", `Cannot open ${path}: ${code}`, {
      cause: error,
    });
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new AtomfsError("bad-data", `Cannot read ${path}: it is not a regular file`);
}
