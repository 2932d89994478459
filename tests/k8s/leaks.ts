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

type Leaks = {
  readonly own: readonly string[];
  /** What CRI-O alone makes and keeps: network namespaces and addresses. */
  readonly engines: readonly string[];
};

/** What is on the node though nothing that CRI-O and Kubernetes know of needs it. */
export async function leaksOn(scene: Scene, node: NodeName): Promise<Leaks> {
  const ids = async (args: readonly string[]): Promise<readonly string[]> => {
    const text = await scene.crictl(node, [...args, "--output", "json"]);
    const { containers, items } = JSON.parse(text) as Listed;
    return (containers ?? items ?? []).map(({ id }) => id);
  };
  const before = holdingsOf(node, scene.cluster.daemonsOf(node));
  const networks = keptNetworks(node).length;
  const sandboxes = await ids(["pods"]);
  const pods = (await scene.podsOn(node)).map(({ metadata }) => metadata.uid);
  const known = new Set([...sandboxes, ...(await ids(["ps", "--all"])), ...pods]);
  const lost = before.filter(({ of }) => of === undefined || !known.has(of));
  const tooMany = `${networks} network namespaces for ${sandboxes.length} sandboxes`;
  return {
    own: lost.filter(({ isEnginesOwn }) => isEnginesOwn !== true).map(({ what }) => what),
    engines: [
      ...lost.filter(({ isEnginesOwn }) => isEnginesOwn === true).map(({ what }) => what),
      ...(networks > sandboxes.length ? [tooMany] : []),
    ],
  };
}

export type LeakOptions = {
  /** Done before each look. */
  readonly cleanUp?: () => Promise<unknown>;
  /** Then what CRI-O had made and not yet noted is lost, whatever its runtime is: it is only told. */
  readonly engineWasKilled?: boolean;
};

/** Waits until kubelet has collected what is dead, and says what is left then. */
export async function nothingLeaked(
  scene: Scene,
  node: NodeName,
  when: string,
  { cleanUp, engineWasKilled = false }: LeakOptions = {},
): Promise<void> {
  let found: Leaks = { own: [], engines: [] };
  const counted = (): readonly string[] => (engineWasKilled ? found.own : [...found.own, ...found.engines]);
  const isClean = await scene.becomes(SECONDS, async () => {
    await cleanUp?.();
    found = await leaksOn(scene, node);
    return counted().length === 0;
  });
  const shown = counted().slice(0, SHOWN).join(", ");
  scene.promised(
    isClean,
    `${when} nothing leaked on ${node}${isClean ? "" : `: ${counted().length}: ${shown}`}`,
  );
  if (engineWasKilled) scene.say(`CRI-O itself has lost: ${found.engines.join(", ") || "nothing"}`);
}
