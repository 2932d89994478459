import { NODE_NAMES, REGISTRY } from "../../scripts/k8s/place.ts";
import { isReady, type Pod, type Scene } from "./scene.ts";

const SECONDS = 240;
const LABEL = "sets";
/** By their kind, as Kubernetes is asked for new pods of each; "by-hand" has updateStrategy OnDelete. */
const SETS = {
  ordered: { kind: "StatefulSet", how: "rollout", pods: 2 },
  everywhere: { kind: "DaemonSet", how: "rollout", pods: NODE_NAMES.length },
  "by-hand": { kind: "StatefulSet", how: "evict", pods: 1 },
} as const;
type Name = keyof typeof SETS;
const NAMES = ["ordered", "everywhere", "by-hand"] as const;
const PODS = NAMES.reduce((sum, name) => sum + SETS[name].pods, 0);

/** Outdated pods of StatefulSets and DaemonSets, on all nodes, are made anew by their own controllers. */
export async function restartedSets(scene: Scene): Promise<void> {
  const { kubectl } = scene.cluster;
  for (const node of NODE_NAMES) await scene.revertAll(node);
  const items = NAMES.map(manifestOf);
  await kubectl.run(["apply", "--filename=-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const areUp = (): Promise<boolean> =>
    scene.becomes(SECONDS, async () => (await ready(scene)).length === PODS);
  scene.promised(await areUp(), "unfixed pods of StatefulSets and a DaemonSet run on both nodes");
  const old = new Set((await ready(scene)).map(({ metadata }) => metadata.uid));
  for (const node of NODE_NAMES) await scene.fix(node);
  for (const node of NODE_NAMES) await scene.report(node);
  const outcomes = await scene.restartOutdated(["--wait", "10m"]);
  for (const name of NAMES) {
    const { kind, how, pods } = SETS[name];
    const own = outcomes.filter(({ owner }) => owner.kind === kind && owner.name === name);
    const [outcome] = own;
    scene.promised(
      own.length === 1 && outcome?.how === how && outcome.pods.length === pods && outcome.error === undefined,
      `\`restart --outdated --cluster\` asks for ${kind} ${name} by ${how}, once: ${JSON.stringify(own)}`,
    );
  }
  const rolledOut = (await ready(scene)).filter(({ metadata }) => !isOf(metadata.name, "by-hand"));
  scene.promised(
    rolledOut.length === PODS - SETS["by-hand"].pods &&
      rolledOut.every(({ metadata }) => !old.has(metadata.uid)),
    "--wait is back when each pod of what rolls out is a new one and ready",
  );
  await scene.becomes(SECONDS, async () =>
    (await ready(scene)).every(({ metadata }) => !old.has(metadata.uid)),
  );
  await areUp();
  const pods = await ready(scene);
  const rows = (await Promise.all(NODE_NAMES.map((node) => scene.containers(node)))).flat();
  scene.promised(
    pods.length === PODS &&
      pods.every(({ metadata: { uid, name } }) => {
        const own = rows.find((row) => row.name === `default/${name}/c`);
        return !old.has(uid) && own?.root === "current";
      }),
    "then all of their pods run on the current molecule",
  );
  const targets = NAMES.map((name) => `${SETS[name].kind.toLowerCase()}/${name}`);
  await kubectl.run(["delete", "--wait=false", ...targets]);
  const areGone = (): Promise<boolean> => scene.becomes(SECONDS, async () => (await own(scene)).length === 0);
  scene.promised(await areGone(), "they go away");
}

function manifestOf(name: Name): object {
  const { kind, how, pods } = SETS[name];
  const labels = { app: LABEL, set: name };
  const container = { name: "c", image: `${REGISTRY}/demo/feed:1.0`, command: ["sleep", "100000"] };
  const spec = { terminationGracePeriodSeconds: 1, containers: [container] };
  return {
    apiVersion: "apps/v1",
    kind,
    metadata: { name },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec },
      updateStrategy: { type: how === "evict" ? "OnDelete" : "RollingUpdate" },
      ...(kind === "StatefulSet" ? { replicas: pods, serviceName: name } : {}),
    },
  };
}

function own(scene: Scene): Promise<readonly Pod[]> {
  return scene.pods([`--selector=app=${LABEL}`]);
}

async function ready(scene: Scene): Promise<readonly Pod[]> {
  return (await own(scene)).filter((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined);
}

function isOf(pod: string, set: Name): boolean {
  return pod.startsWith(`${set}-`);
}
