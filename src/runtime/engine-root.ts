import { existsSync, realpathSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { type ByteString, displayText, fromText, toBytes } from "../core/bytestring.ts";
import { parseSha256, type Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { type ContainerEntry, findContainerEntry } from "../formats/containers-storage/records.ts";
import { hasCode } from "../sys/ffi.ts";
import { readFileBounded } from "../sys/files.ts";
import { findMount, type Mount, readMountsIn, superOption } from "../sys/mountinfo.ts";

/** The bundle that Podman and CRI-O make for a container, below the graph root or the run root. */
const BUNDLE = /^(.+\/overlay-containers)\/([0-9a-f]{64})\/userdata$/;
/** The root that containers/storage mounts for a container: GRAPH/overlay/LAYER/merged. */
const MERGED = /^(.+)\/overlay\/([0-9a-f]{64})\/merged$/;
/** As `lowerdir=/graph/overlay/LAYER/mapped/0/l/LINK:...` (containers/storage, drivers/overlay). */
const MAPPED_LOWER = /^lowerdir\+?=(.*[:/])?mapped\/\d+(\/|:|$)/;
/** Where engines of root keep what ends with the boot, a transient store's containers too. */
const RUN_CONTAINERS = "/run/containers/storage/overlay-containers";
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

/** Neither the molecule nor the engine's own mount is on the root: whatever the policy says, there is nothing to run. */
export class EngineRootLost extends AtomfsError {
  constructor(rootfs: string, why: Error) {
    super(
      "failed",
      `The root ${rootfs} is lost: the engine's own mount could not be put back: ${why.message}`,
      {
        cause: why,
        hints: ["start the container again: its engine mounts the root anew"],
      },
    );
  }
}

/**
 * Recognises the root of a container of containers/storage: an overlay on `overlay/LAYER/merged` whose upper is
 * `overlay/LAYER/diff`, where LAYER is the layer of a container of an image, and whose bundle is that container's own.
 * Everything else is undefined: a plain directory, another engine, or a container that builds an image (buildah has
 * bundles elsewhere), which must keep the engine's root, else its commit would store the fixed package database over
 * the vulnerable files.
 * @param rootfs and the bundle: without symlinks
 * @throws AtomfsError where both names are those of such a container, but the rest does not fit: a fix that does not
 * reach it must not go unnoticed
 */
export function findEngineRoot(
  rootfs: string,
  bundle: string,
  mounts: readonly Mount[] = readMountsIn(rootfs),
): EngineRoot | undefined {
  const [, containers, id] = BUNDLE.exec(bundle) ?? [];
  const [, graphRoot, layer] = MERGED.exec(rootfs) ?? [];
  if (containers === undefined || id === undefined || graphRoot === undefined || layer === undefined)
    return undefined;
  const image = imageOf([join(graphRoot, "overlay-containers"), containers, RUN_CONTAINERS], id, layer);
  if (image === undefined) return undefined;
  const mount = findMount(mounts, rootfs);
  if (mount?.type !== "overlay")
    throw unfitting(rootfs, mount === undefined ? "nothing is mounted there" : `it is of type ${mount.type}`);
  const overlay = join(graphRoot, "overlay");
  const hasMappedLowers =
    mount.superOptions.some((option) => MAPPED_LOWER.test(option)) ||
    existsSync(join(overlay, layer, "mapped"));
  return {
    mount,
    upperdir: directoryOf(mount, "upperdir", overlay, join(layer, "diff")),
    workdir: directoryOf(mount, "workdir", overlay, join(layer, "work")),
    image,
    graphRoot,
    layer,
    hasMappedLowers,
  };
}

/** Of the container's record; undefined for one that was made without an image. */
function imageOf(directories: readonly string[], id: string, layer: string): Sha256 | undefined {
  const container = containerOf(directories, id);
  const shown = `container ${id.slice(0, 12)}`;
  if (container === undefined)
    throw new AtomfsError(
      "not-found",
      `Cannot tell which image ${shown} is of: the engine has no record of it`,
      {
        hints: [`looked into containers.json and volatile-containers.json of ${directories.join(", ")}`],
      },
    );
  if (container.image === undefined) return undefined;
  if (container.layer !== layer) {
    throw new AtomfsError(
      "bad-data",
      `Cannot use the root of ${shown}: it is layer ${layer}, the engine's record says ${container.layer}`,
    );
  }
  return parseSha256(container.image);
}

function containerOf(directories: readonly string[], id: string): ContainerEntry | undefined {
  for (const directory of new Set(directories)) {
    for (const name of ["containers.json", "volatile-containers.json"]) {
      const index = indexIfThere(join(directory, name));
      const found = index === undefined ? undefined : findContainerEntry(index, id);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function indexIfThere(path: string): Buffer | undefined {
  try {
    return readFileBounded(path, MAX_INDEX);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/**
 * The container's own directory, which the mount must have. With many layers containers/storage gives relative names: a
 * mount's options have one page, so it mounts from within `overlay/`.
 */
function directoryOf(mount: Mount, key: string, overlay: string, name: string): string {
  const wanted = join(overlay, name);
  const given = superOption(mount, key);
  if (given === fromText(wanted) || given === name) return wanted;
  if (given !== undefined && isAbsolute(given) && realpathOf(given) === realpathSync(wanted)) return wanted;
  const shown = given === undefined ? "missing" : displayText(given as ByteString);
  throw unfitting(displayText(mount.target as ByteString), `its ${key} is ${shown}, not ${wanted}`);
}

function realpathOf(bytes: string): string | undefined {
  try {
    return realpathSync(toBytes(bytes as ByteString));
  } catch {
    return undefined;
  }
}

function unfitting(rootfs: string, why: string): AtomfsError {
  return new AtomfsError("unsupported", `Cannot put a molecule under ${rootfs}: ${why}`);
}
