import type { Promised } from "../../scripts/k8s/cluster-story.ts";
import type { LoneCrio } from "../../scripts/k8s/lone-crio.ts";

type GcAnswer = Readonly<Record<"images" | "waiting", readonly { readonly config: string }[]>>;

/**
 * CRI-O's images are in a place that its own configuration names, and kubelet's image garbage collection removes them by
 * the same call as `crictl rmi`.
 * @param image that is in AtomFS's store and that no container is made of
 */
export async function gcFollowsCrio(crio: LoneCrio, image: string, promised: Promised): Promise<void> {
  const gc = (grace: string): Promise<GcAnswer> =>
    crio.answer<GcAnswer>("gc", "--full", "0", "--grace", grace);
  const { images: early } = await gc("0");
  promised(early.length === 0, "gc keeps what CRI-O holds in a storage of its own");
  await crio.crictl("rmi", image);
  const { images: waits, waiting } = await gc("1h");
  promised(
    waits.length === 0 && waiting.length === 1,
    "an image that kubelet's garbage collection removed waits for its grace time",
  );
  const { images: gone } = await gc("0");
  promised(gone.length === 1, "and leaves AtomFS's store after it");
  const known = await crio.answer<readonly { readonly id: string }[]>("images");
  promised(
    known.every(({ id }) => id !== gone[0]?.config),
    "only the image that CRI-O let go is gone",
  );
  await crio.answer("fsck");
}
