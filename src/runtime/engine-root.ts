import { basename, dirname, join } from "node:path";
import { parseSha256, type Sha256 } from "../core/digest.ts";
import { parseContainerEntries } from "../formats/containers-storage/records.ts";
import { findMount, type Mount, readMountsIn, superOption } from "../sys/mountinfo.ts";
import { readIfThere } from "./read-if-there.ts";

const MAX_INDEX = 64 << 20;

/** A container's root as containers/storage (Podman, CRI-O) mounted it, and which image it is. */
export type EngineRoot = {
  readonly mount: Mount;
  readonly upperdir: string;
  readonly workdir: string;
  /** The engine's lower directories, top first: for putting its own mount back. */
  readonly lowers: readonly string[];
  readonly image: Sha256;
};

/**
 * Recognises the root of a container of containers/storage: an overlay whose upper is `overlay/LAYER/diff`, where LAYER is
 * the layer of a container of an image, and whose bundle is that container's own. Everything else is undefined: a
 * plain directory, another engine, or a container that builds an image (buildah has bundles elsewhere), which must keep
 * the engine's root, else its commit would store the fixed package database over the vulnerable files.
 */
export function findEngineRoot(rootfs: string, bundle: string): EngineRoot | undefined {
  const mount = findMount(readMountsIn(rootfs), rootfs);
  if (mount?.type !== "overlay") return undefined;
  const upperdir = superOption(mount, "upperdir");
  const workdir = superOption(mount, "workdir");
  if (upperdir === undefined || workdir === undefined || basename(upperdir) !== "diff") return undefined;
  const layer = basename(dirname(upperdir));
  const overlay = dirname(dirname(upperdir));
  const graphRoot = dirname(overlay);
  const container = containerOf(graphRoot, layer);
  if (container?.image === undefined) return undefined;
  if (!bundle.endsWith(`/overlay-containers/${container.id}/userdata`)) return undefined;
  const lowers = readLowers(overlay, layer);
  return lowers === undefined
    ? undefined
    : { mount, upperdir, workdir, lowers, image: parseSha256(container.image) };
}

function containerOf(
  graphRoot: string,
  layer: string,
): ReturnType<typeof parseContainerEntries>[number] | undefined {
  for (const name of ["containers.json", "volatile-containers.json"]) {
    const text = readIfThere(join(graphRoot, "overlay-containers", name), MAX_INDEX);
    const found =
      text === undefined ? undefined : parseContainerEntries(text).find((each) => each.layer === layer);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** `LAYER/lower`: "l/LINK:l/LINK...", top first. With many layers the mount's own option is relative, so this is read. */
function readLowers(overlay: string, layer: string): string[] | undefined {
  const text = readIfThere(join(overlay, layer, "lower"), MAX_INDEX);
  return text
    ?.trim()
    .split(":")
    .map((link) => (link.startsWith("/") ? link : join(overlay, link)));
}
