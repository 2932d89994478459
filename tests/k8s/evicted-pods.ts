import { type NodeName, REGISTRY } from "../../scripts/k8s/place.ts";
import { isReady, type Pod, type RestartOutcome, type Scene } from "./scene.ts";

const NAME = "lone";
const SECONDS = 240;
const SELECTOR = { matchLabels: { app: NAME } };

/**
 * Outdated pods whose controller knows no rollout are evicted, and a PodDisruptionBudget is respected: none of them may go, then
 * one after the other, which --wait sees to.
 */
export async function evictedPods(scene: Scene, node: NodeName): Promise<void> {
  const { kubectl } = scene.cluster;
  const apply = (object: object): Promise<string> =>
    kubectl.run(["apply", "--filename=-"], JSON.stringify(object));
  await scene.revertAll(node);
  await apply(replicaSet(node));
  await apply(budget(2));
  const twoReady = (): Promise<boolean> =>
    scene.becomes(SECONDS, async () => (await ready(scene)).length === 2);
  scene.promised(await twoReady(), "two unfixed pods of a ReplicaSet without a Deployment run");
  const old = new Set((await ready(scene)).map(({ metadata }) => metadata.uid));
  await scene.fix(node);
  const refused = await restartAll(scene, node);
  scene.promised(
    refused.length === 2 &&
      refused.every(({ how, error }) => how === "evict" && /disruption budget/.test(error ?? "")),
    `\`restart --outdated --cluster\` evicts no pod that a PodDisruptionBudget keeps: ${JSON.stringify(refused)}`,
  );
  scene.promised(
    (await ready(scene)).every(({ metadata }) => old.has(metadata.uid)),
    "they are the same pods as before",
  );
  await apply(budget(1));
  // One may be missing: the second eviction is refused until a new pod is ready in the place of the first.
  const waited = await restartAll(scene, node, ["--wait", `${SECONDS}s`]);
  scene.promised(
    waited.length === 2 && waited.every(({ how, error }) => how === "evict" && error === undefined),
    `with --wait both are evicted where one may be missing: ${JSON.stringify(waited)}`,
  );
  const left = (await scene.pods([`--selector=app=${NAME}`])).filter(({ metadata }) => old.has(metadata.uid));
  scene.promised(left.length === 0, `and waited for until they are gone (${left.length} left)`);
  await twoReady();
  const pods = await ready(scene);
  const rows = await scene.containers(node);
  scene.promised(
    pods.length === 2 &&
      pods.every(
        ({ metadata: { uid, name } }) =>
          !old.has(uid) && rows.some((row) => row.name === `default/${name}/c` && row.root === "current"),
      ),
    "the new ones run on the current molecule",
  );
  await kubectl.run(["delete", `replicaset/${NAME}`, `poddisruptionbudget/${NAME}`]);
}

function replicaSet(node: NodeName): object {
  const container = { name: "c", image: `${REGISTRY}/demo/feed:1.0`, command: ["sleep", "100000"] };
  const spec = { nodeName: node, terminationGracePeriodSeconds: 1, containers: [container] };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name: NAME },
    spec: { replicas: 2, selector: SELECTOR, template: { metadata: { labels: { app: NAME } }, spec } },
  };
}

function budget(minAvailable: number): object {
  const spec = { minAvailable, selector: SELECTOR };
  return { apiVersion: "policy/v1", kind: "PodDisruptionBudget", metadata: { name: NAME }, spec };
}

async function ready(scene: Scene): Promise<readonly Pod[]> {
  const pods = await scene.pods([`--selector=app=${NAME}`]);
  return pods.filter((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined);
}

/** The node reports, the operator restarts. */
async function restartAll(
  scene: Scene,
  node: NodeName,
  more: readonly string[] = [],
): Promise<readonly RestartOutcome[]> {
  await scene.report(node);
  const restarts = await scene.restartOutdated(more);
  return restarts.filter(({ pods }) => pods.some((name) => name.startsWith(`${NAME}-`)));
}
