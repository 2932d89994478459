import type { NodeName } from "../../scripts/k8s/place.ts";
import { holdingsOf, keptNetworks } from "./node-holdings.ts";
import type { Scene } from "./scene.ts";

type Listed = {
  readonly containers?: readonly { readonly id: string }[];
  readonly items?: readonly { readonly id: string }[];
};

/** kubelet collects what is dead once a minute. */
const SECONDS = 180;
const SHOWN = 20;

/** What is on the node though nothing that CRI-O and Kubernetes know of needs it. */
export async function leaksOn(scene: Scene, node: NodeName): Promise<readonly string[]> {
  const ids = async (args: readonly string[]): Promise<readonly string[]> => {
    const { containers, items } = JSON.parse(
      await scene.crictl(node, [...args, "--output", "json"]),
    ) as Listed;
    return (containers ?? items ?? []).map(({ id }) => id);
  };
  const before = holdingsOf(node, scene.cluster.daemonsOf(node));
  const sandboxes = await ids(["pods"]);
  const pods = (await scene.podsOn(node)).map(({ metadata }) => metadata.uid);
  const known = new Set([...sandboxes, ...(await ids(["ps", "--all"])), ...pods]);
  const networks = keptNetworks(node).length;
  return [
    ...before.filter(({ of }) => of === undefined || !known.has(of)).map(({ what }) => what),
    ...(networks > sandboxes.length
      ? [`${networks} network namespaces for ${sandboxes.length} sandboxes`]
      : []),
  ];
}

/** Waits until kubelet has collected what is dead, and says what is left then. */
export async function nothingLeaked(scene: Scene, node: NodeName, when: string): Promise<void> {
  let found: readonly string[] = [];
  const isClean = await scene.becomes(SECONDS, async () => {
    found = await leaksOn(scene, node);
    return found.length === 0;
  });
  const shown = found.slice(0, SHOWN).join(", ");
  scene.promised(isClean, `${when} nothing leaked on ${node}${isClean ? "" : `: ${found.length}: ${shown}`}`);
}
