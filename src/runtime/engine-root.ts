import { basename, dirname, join } from "node:path";
import { parseSha256, type Sha256 } from "../core/digest.ts";
import { type ContainerEntry, findContainerEntry } from "../formats/containers-storage/records.ts";
import { hasCode } from "../sys/ffi.ts";
import { readFileBounded } from "../sys/files.ts";
import { findMount, type Mount, readMountsIn, superOption } from "../sys/mountinfo.ts";

/** As `lowerdir=/graph/overlay/LAYER/mapped/0/l/LINK:...` (containers/storage, drivers/overlay). */
const MAPPED_LOWER = /^lowerdir\+?=(.*[:/])?mapped\/\d+(\/|:|$)/;
const MAX_INDEX = 64 << 20;

/** A container's root as containers/storage (Podman, CRI-O) mounted it, and which image it is. */
export type EngineRoot = {
  readonly mount: Mount;
  readonly upperdir: string;
  readonly workdir: string;
  readonly image: Sha256;
  /** Of the engine's storage, as "/var/lib/containers/storage". */
  readonly graphRoot: string;
  /** The container's layer in it. */
  readonly layer: string;
  /** containers/storage has id-mapped the image's layers, in LAYER/mapped, for a container with a user namespace. */
  readonly hasMappedLowers: boolean;
};

/**
 * Recognises the root of a container of containers/storage: an overlay whose upper is `overlay/LAYER/diff`, where LAYER is
 * the layer of a container of an image, and whose bundle is that container's own. Everything else is undefined: a
 * plain directory, another engine, or a container that builds an image (buildah has bundles elsewhere), which must keep
 * the engine's root, else its commit would store the fixed package database over the vulnerable files.
 */
export function findEngineRoot(rootfs: string, bundle: string): EngineRoot | undefined {
  const id = /\/overlay-containers\/([0-9a-f]{64})\/userdata$/.exec(bundle)?.[1];
  if (id === undefined) return undefined;
  const mount = findMount(readMountsIn(rootfs), rootfs);
  if (mount?.type !== "overlay") return undefined;
  const upperdir = superOption(mount, "upperdir");
  const workdir = superOption(mount, "workdir");
  if (upperdir === undefined || workdir === undefined || basename(upperdir) !== "diff") return undefined;
  const layer = basename(dirname(upperdir));
  const graphRoot = dirname(dirname(dirname(upperdir)));
  const container = containerOf(graphRoot, id);
  if (container?.image === undefined || container.layer !== layer) return undefined;
  const hasMappedLowers = mount.superOptions.some((option) => MAPPED_LOWER.test(option));
  return { mount, upperdir, workdir, image: parseSha256(container.image), graphRoot, layer, hasMappedLowers };
}

function containerOf(graphRoot: string, id: string): ContainerEntry | undefined {
  for (const name of ["containers.json", "volatile-containers.json"]) {
    const index = indexIfThere(join(graphRoot, "overlay-containers", name));
    const found = index === undefined ? undefined : findContainerEntry(index, id);
    if (found !== undefined) return found;
  }
  return undefined;
}

function indexIfThere(path: string): Buffer | undefined {
  try {
    return readFileBounded(path, MAX_INDEX);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * The engine's lower directories, top first, for putting its own mount back: `LAYER/lower` is "l/LINK:l/LINK...". With
 * many layers the mount's own option is relative, so this is read.
 * @throws if the engine has lost it
 */
export function readLowers({ graphRoot, layer }: Pick<EngineRoot, "graphRoot" | "layer">): string[] {
  const overlay = join(graphRoot, "overlay");
  return readFileBounded(join(overlay, layer, "lower"), MAX_INDEX)
    .toString("utf8")
    .trim()
    .split(":")
    .map((link) => (link.startsWith("/") ? link : join(overlay, link)));
}
