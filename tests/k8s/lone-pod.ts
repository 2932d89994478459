import { VULNERABLE_PACKAGE, VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import type { NodeName } from "../../scripts/k8s/place.ts";
import { inContainer } from "./kubectl-streams.ts";
import { isReady, type Pod, type Scene } from "./scene.ts";

const SECONDS = 240;

/** A pod of one container "c" that waits. Its image is asked for at its registry whenever it starts. */
export type LonePod = {
  readonly name: string;
  readonly image: string;
  readonly node: NodeName;
  /** For its image's registry. */
  readonly secret?: string;
};

export async function applyPod(scene: Scene, { name, image, node, secret }: LonePod): Promise<void> {
  const spec = {
    nodeName: node,
    terminationGracePeriodSeconds: 0,
    imagePullSecrets: secret === undefined ? [] : [{ name: secret }],
    containers: [{ name: "c", image, imagePullPolicy: "Always", command: ["sleep", "100000"] }],
  };
  const manifest = { apiVersion: "v1", kind: "Pod", metadata: { name }, spec };
  await scene.cluster.kubectl.run(["apply", "--filename=-"], JSON.stringify(manifest));
}

/** The same; back when it is ready. */
export async function startPod(scene: Scene, pod: LonePod): Promise<void> {
  await applyPod(scene, pod);
  const isUp = await scene.becomes(SECONDS, async () => {
    const found = await foundPod(scene, pod);
    return found !== undefined && isReady(found);
  });
  scene.promised(isUp, `pod ${pod.name} runs`);
}

export async function foundPod(scene: Scene, { name }: LonePod): Promise<Pod | undefined> {
  return (await scene.pods()).find(({ metadata }) => metadata.name === name);
}

/** What `atomfs containers` says of it. */
export async function rootOf(scene: Scene, { name, node }: LonePod): Promise<string | undefined> {
  return (await scene.containers(node)).find((row) => row.name === `default/${name}/c`)?.root;
}

/** Of the package that the story fixes. */
export async function versionIn({ cluster }: Scene, { name }: LonePod): Promise<string> {
  const show = `dpkg-query --show --showformat '\${Version}' ${VULNERABLE_PACKAGE}`;
  return inContainer(cluster.kubectl, name, "c", show);
}

export async function isFixed(scene: Scene, pod: LonePod): Promise<boolean> {
  return (await rootOf(scene, pod)) === "current" && (await versionIn(scene, pod)) !== VULNERABLE_VERSION;
}
