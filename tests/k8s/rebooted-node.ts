import type { NodeName } from "../../scripts/k8s/place.ts";
import { nothingLeaked } from "./leaks.ts";
import { isReady, type Pod, type Scene } from "./scene.ts";

const BACK_SECONDS = 240;

/** Fixed pods of a node that loses power come back with it, and with the fix. */
export async function rebootedNode(scene: Scene, node: NodeName): Promise<void> {
  const { cluster, promised } = scene;
  const before = await scene.podsOn(node);
  const old = new Set(before.flatMap(containerIds));
  promised(old.size > 0, `pods run on ${node} when it is rebooted`);
  const start = performance.now();
  await cluster.rebootNode(node);
  scene.say(`${node} is ready again after ${((performance.now() - start) / 1000).toFixed(1)} s`);
  const isBack = await scene.becomes(BACK_SECONDS, async () => {
    const now = await scene.podsOn(node);
    return (
      now.length > 0 && now.every((pod) => isReady(pod) && containerIds(pod).every((id) => !old.has(id)))
    );
  });
  const after = await scene.podsOn(node);
  scene.say(`its pods are ready after ${((performance.now() - start) / 1000).toFixed(1)} s`);
  const same = before.every(({ metadata }) => after.some((pod) => pod.metadata.uid === metadata.uid));
  promised(isBack && same, `after a reboot of ${node} its pods run again, the same pods in new containers`);
  const rows = await scene.containers(node);
  promised(
    after.every(({ metadata: { namespace, name } }) =>
      rows.some((row) => row.name.startsWith(`${namespace}/${name}/`) && row.root === "current"),
    ),
    `after a reboot every pod on ${node} runs on its image's current molecule`,
  );
  promised(await scene.exploitIsDead(), "after a reboot the exploit is dead");
  promised(await scene.isVerified(node), `after a reboot \`fix verify\` on ${node} says that it is fixed`);
  await nothingLeaked(scene, node, "after a reboot");
}

function containerIds({ status }: Pod): string[] {
  return (status.containerStatuses ?? []).flatMap(({ containerID }) => containerID ?? []);
}
