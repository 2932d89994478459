import { join } from "node:path";
import type { Sha256, VerityDigest } from "../core/digest.ts";

/** Where the store is unless something else is said. */
export const DEFAULT_ROOT_DIRECTORY = "/var/lib/atomfs";

/** Implements docs/formats/store.md: where things are in a store. */
export type StoreLayout = {
  readonly root: string;
  readonly meta: string;
  readonly lock: string;
  /** Held shared by whoever adds what nothing names yet, exclusively by gc. */
  readonly gcLock: string;
  readonly objects: string;
  readonly atoms: string;
  readonly images: string;
  readonly molecules: string;
  readonly trees: string;
  readonly current: string;
  readonly plans: string;
  readonly cache: string;
  readonly imageStore: string;
  readonly journal: string;
  readonly catalog: string;
  readonly tmp: string;
  readonly object: (digest: VerityDigest) => string;
  readonly atom: (id: Sha256) => string;
  /** The image's OCI config, byte for byte. */
  readonly imageConfig: (config: Sha256) => string;
  /** The image's OCI manifest, byte for byte. */
  readonly imageManifest: (config: Sha256) => string;
  readonly molecule: (digest: VerityDigest) => string;
  readonly currentOf: (config: Sha256) => string;
};

export const STORE_DIRECTORIES = [
  "objects",
  "atoms",
  "images",
  "molecules",
  "trees",
  "current",
  "plans",
  "cache",
  "image-store",
  "journal",
  "tmp",
] as const;

export function storeLayout(root: string): StoreLayout {
  return {
    root,
    meta: join(root, "meta.json"),
    lock: join(root, "lock"),
    gcLock: join(root, "gc.lock"),
    objects: join(root, "objects"),
    atoms: join(root, "atoms"),
    images: join(root, "images"),
    molecules: join(root, "molecules"),
    trees: join(root, "trees"),
    current: join(root, "current"),
    plans: join(root, "plans"),
    cache: join(root, "cache"),
    imageStore: join(root, "image-store"),
    journal: join(root, "journal"),
    catalog: join(root, "catalog.db"),
    tmp: join(root, "tmp"),
    object: (digest: VerityDigest): string => join(root, "objects", objectName(digest)),
    atom: (id: Sha256): string => join(root, "atoms", id),
    imageConfig: (config: Sha256): string => join(root, "images", `${config}.config`),
    imageManifest: (config: Sha256): string => join(root, "images", `${config}.manifest`),
    molecule: (digest: VerityDigest): string => join(root, "molecules", `${digest}.erofs`),
    currentOf: (config: Sha256): string => join(root, "current", config),
  };
}

/** "ab/cdef...": the path of an object under objects/, and in a molecule's redirect. */
export function objectName(digest: VerityDigest): string {
  return `${digest.slice(0, 2)}/${digest.slice(2)}`;
}
