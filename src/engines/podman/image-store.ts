import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { isAbsolute, join } from "node:path";
import type { Sha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import { bigDataFileName } from "../../formats/containers-storage/records.ts";
import { fsyncDirectory, readFileBounded, writeAtomic } from "../../sys/files.ts";
import { lockFile } from "../../sys/lock.ts";
import {
  checkImageName,
  configKey,
  imagesJson,
  layerIdOf,
  layersJson,
  linkNameOf,
  manifestKey,
  type PublishedImage,
  parsePublishedImages,
  rfc3339,
  withImage,
} from "./image-records.ts";

/** What podman and CRI-O must be able to read; the store's root keeps all others out. */
const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;
/** c/storage compares this many bytes of a lock file to see that the JSON beside it has changed. */
const TOKEN_BYTES = 64;
const LARGEST_INDEX = 64 << 20;

export type ImageToPublish = {
  /** The additional image store's directory (`StoreLayout.imageStore`). */
  readonly storeDir: string;
  readonly configDigest: Sha256;
  readonly configBytes: Uint8Array;
  readonly manifestDigest: Sha256;
  readonly manifestBytes: Uint8Array;
  /** Full references; each is taken from the image that had it. They come on top of the names it has. */
  readonly names: readonly string[];
  readonly created: string;
  /** Bytes of the tree, for the engines' lists; default 0. */
  readonly treeSize?: number;
  /** Absolute path of a directory with the image's whole tree: the mounted molecule. */
  readonly diffTarget: string;
};

function imagesPath(storeDir: string, ...rest: readonly string[]): string {
  return join(storeDir, "overlay-images", ...rest);
}

function layersPath(storeDir: string, ...rest: readonly string[]): string {
  return join(storeDir, "overlay-layers", ...rest);
}

function overlayPath(storeDir: string, ...rest: readonly string[]): string {
  return join(storeDir, "overlay", ...rest);
}

function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
  // mkdir obeys the umask.
  chmodSync(path, DIRECTORY_MODE);
}

/** In place, never by rename: engines that run for long hold the lock file open. */
function writeFreshToken(path: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, FILE_MODE);
  try {
    writeSync(fd, randomBytes(TOKEN_BYTES), 0, TOKEN_BYTES, 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  chmodSync(path, FILE_MODE);
}

/** The JSON first: an engine that reads between the two steps only reads once more. */
function writeIndex(path: string, json: string): void {
  writeAtomic(`${path}.json`, Buffer.from(json), { mode: FILE_MODE });
  writeFreshToken(`${path}.lock`);
}

function replaceSymlink(path: string, target: string): void {
  const temporary = `${path}.${process.pid}.new`;
  rmSync(temporary, { force: true });
  symlinkSync(target, temporary);
  renameSync(temporary, path);
  fsyncDirectory(join(path, ".."));
}

function lockStore(storeDir: string): Disposable {
  makeDirectory(storeDir);
  return lockFile(join(storeDir, "publish.lock"), "exclusive", { wait: true });
}

/** Makes an empty but valid additional image store, or does nothing: an engine refuses to start if it is absent. */
export function initImageStore(storeDir: string): void {
  using _lock = lockStore(storeDir);
  ensureIndexes(storeDir);
}

function ensureIndexes(storeDir: string): void {
  makeDirectory(overlayPath(storeDir, "l"));
  makeDirectory(overlayPath(storeDir));
  makeDirectory(imagesPath(storeDir));
  makeDirectory(layersPath(storeDir));
  if (!existsSync(imagesPath(storeDir, "images.json"))) writeIndex(imagesPath(storeDir, "images"), "[]");
  if (!existsSync(layersPath(storeDir, "layers.json"))) writeIndex(layersPath(storeDir, "layers"), "[]");
}

/** The published images by ascending config digest. @throws AtomfsError "bad-data" */
export function publishedImages(storeDir: string): PublishedImage[] {
  const images = imagesPath(storeDir, "images.json");
  const layers = layersPath(storeDir, "layers.json");
  if (!existsSync(images) || !existsSync(layers)) return [];
  const read = (path: string): string => readFileBounded(path, LARGEST_INDEX).toString("utf8");
  return parsePublishedImages(read(images), read(layers));
}

function checkDigest(what: string, digest: Sha256, bytes: Uint8Array): void {
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual === digest) return;
  throw new AtomfsError(
    "untrusted",
    `Cannot publish image: its ${what} has digest ${actual}, want ${digest}`,
  );
}

function checkTarget(target: string): void {
  if (isAbsolute(target) && !target.includes("\0")) return;
  throw new AtomfsError("usage", `Cannot publish the tree "${target}": want an absolute path`);
}

/**
 * Makes an image visible to the engines, or renews what they see of it. Files come first and the indexes last, so an
 * engine, or a crash, in between sees the image as it was before.
 * @throws AtomfsError "untrusted" if bytes and digest disagree, "usage" for a name that is no full reference, "stale" if
 * another command holds the image store
 */
export function publishImage(image: ImageToPublish): void {
  const { storeDir, configDigest: config, manifestDigest: manifest } = image;
  checkDigest("config", config, image.configBytes);
  checkDigest("manifest", manifest, image.manifestBytes);
  checkTarget(image.diffTarget);
  const names = image.names.map(checkImageName);

  using _lock = lockStore(storeDir);
  ensureIndexes(storeDir);
  const images = publishedImages(storeDir);
  const published: PublishedImage = {
    config,
    configSize: image.configBytes.length,
    manifest,
    manifestSize: image.manifestBytes.length,
    names: [...(images.find((other) => other.config === config)?.names ?? []), ...names],
    created: rfc3339(image.created),
    treeSize: image.treeSize ?? 0,
  };
  writeLayer(storeDir, config, image.diffTarget);
  writeBigData(storeDir, published, image);
  const after = withImage(images, published);
  writeIndex(layersPath(storeDir, "layers"), layersJson(after));
  writeIndex(imagesPath(storeDir, "images"), imagesJson(after));
}

function writeLayer(storeDir: string, config: Sha256, target: string): void {
  const layer = layerIdOf(config);
  const link = linkNameOf(layer);
  makeDirectory(overlayPath(storeDir, layer));
  replaceSymlink(overlayPath(storeDir, layer, "diff"), target);
  writeAtomic(overlayPath(storeDir, layer, "link"), Buffer.from(link), { mode: FILE_MODE });
  replaceSymlink(overlayPath(storeDir, "l", link), `../${layer}/diff`);
}

function writeBigData(storeDir: string, image: PublishedImage, bytes: ImageToPublish): void {
  makeDirectory(imagesPath(storeDir, image.config));
  const files: readonly (readonly [string, Uint8Array])[] = [
    [configKey(image), bytes.configBytes],
    [manifestKey(image), bytes.manifestBytes],
    ["manifest", bytes.manifestBytes],
  ];
  for (const [key, content] of files)
    writeAtomic(imagesPath(storeDir, image.config, bigDataFileName(key)), content, { mode: FILE_MODE });
}

function findImage(images: readonly PublishedImage[], config: Sha256): PublishedImage {
  const image = images.find((candidate) => candidate.config === config);
  if (image !== undefined) return image;
  throw new AtomfsError("not-found", `Cannot find image ${config} in the image store`);
}

/** Replaces all names of a published image. An image may be left without any. @throws as `publishImage` */
export function setImageNames(storeDir: string, config: Sha256, names: readonly string[]): void {
  const checked = names.map(checkImageName);
  using _lock = lockStore(storeDir);
  const images = publishedImages(storeDir);
  const image = findImage(images, config);
  writeIndex(imagesPath(storeDir, "images"), imagesJson(withImage(images, { ...image, names: checked })));
}

/**
 * Takes an image away from the engines; one that isn't there is no error. The caller has made sure that no container, stopped
 * ones included, is made of it: it could not be started again.
 */
export function unpublishImage(storeDir: string, config: Sha256): void {
  using _lock = lockStore(storeDir);
  const images = publishedImages(storeDir);
  const after = images.filter((image) => image.config !== config);
  if (after.length !== images.length) {
    writeIndex(imagesPath(storeDir, "images"), imagesJson(after));
    writeIndex(layersPath(storeDir, "layers"), layersJson(after));
  }
  const layer = layerIdOf(config);
  rmSync(overlayPath(storeDir, "l", linkNameOf(layer)), { force: true });
  rmSync(overlayPath(storeDir, layer), { recursive: true, force: true });
  rmSync(imagesPath(storeDir, config), { recursive: true, force: true });
}

/**
 * Lets the next start of every container of the image have another tree. Containers that run keep theirs: it is mounted.
 * @throws AtomfsError "not-found" if the image isn't published
 */
export function setDiffTarget(storeDir: string, config: Sha256, target: string): void {
  checkTarget(target);
  using _lock = lockStore(storeDir);
  findImage(publishedImages(storeDir), config);
  replaceSymlink(overlayPath(storeDir, layerIdOf(config), "diff"), target);
}

/** The tree that the next start gets. @throws AtomfsError "not-found" if the image isn't published */
export function diffTarget(storeDir: string, config: Sha256): string {
  findImage(publishedImages(storeDir), config);
  return readlinkSync(overlayPath(storeDir, layerIdOf(config), "diff"));
}
