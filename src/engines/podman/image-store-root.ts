import type { Mount } from "../../sys/mountinfo.ts";

/** As `lowerdir=/var/lib/atomfs/image-store/overlay/l/LINK:...`: containers/storage names the layers of additional stores by their links. */
const IN_IMAGE_STORE = /\/image-store\/overlay\//;
/** Links of the engine's own layers, whole or from its directory: `/graph/overlay/l/LINK`, `l/LINK`. */
const OWN_LINK = /^(?:\/.*\/overlay\/)?l\/[A-Z2-7]{26}$/;
const LOWER = /^lowerdir\+?=(.*)$/;

/**
 * Where a container's root has its image from, by the layers of its overlay.
 * @returns undefined where the layers do not tell: containers/storage names them by number or by copies of their mounts
 */
export function sourceOfRoot(mount: Mount): "image-store" | "engine" | "elsewhere" | undefined {
  if (mount.type !== "overlay") return "elsewhere";
  const lowers = mount.superOptions.flatMap((option) => LOWER.exec(option)?.[1]?.split(":") ?? []);
  if (lowers.some((lower) => IN_IMAGE_STORE.test(lower))) return "image-store";
  if (lowers.length > 0 && lowers.every((lower) => OWN_LINK.test(lower))) return "engine";
  const upper = mount.superOptions.find((option) => option.startsWith("upperdir="));
  // As containers/storage calls it.
  return upper === undefined || /\/overlay\/[0-9a-f]{64}\/diff$/.test(upper) ? undefined : "elsewhere";
}
