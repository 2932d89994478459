import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImageRow } from "../../scripts/demo/answers.ts";
import { startKubelet } from "../../scripts/k8s/node.ts";
import { type NodeName, nodeDirectory, REGISTRY } from "../../scripts/k8s/place.ts";
import { type LonePod, startPod } from "./lone-pod.ts";
import { isReady, type Pod, type Scene } from "./scene.ts";

const SECONDS = 240;
/** As soon as kubelet starts, whatever no container is made of is too old; else it looks every five minutes only. */
const AT_ONCE = { imageMinimumGCAge: "1ns", imageMaximumGCAge: "2ns" };

type Held = { readonly images: readonly { readonly id: string }[] };
type Used = { readonly containers: readonly { readonly imageId: string }[] };
type GcAnswer = Readonly<Record<"images" | "waiting", readonly { readonly config: string }[]>>;
type Known = ImageRow & { readonly id: string };

/**
 * kubelet removes images by itself, and AtomFS's store follows.
 * @param unused names of images that AtomFS knows, that the node's engine holds and that no container is made of
 */
export async function kubeletGc(scene: Scene, node: NodeName, unused: readonly string[]): Promise<void> {
  // Of the image that other parts go on with.
  const kept: LonePod = { name: "kept", image: `${REGISTRY}/demo/feed:1.0`, node };
  await startPod(scene, kept);
  const known = await scene.atomfs<readonly Known[]>(node, ["images"]);
  const ids = known.filter(({ names }) => names.some((name) => unused.includes(name))).map(({ id }) => id);
  const held = await heldBy(scene, node);
  // A pod is gone before its containers are.
  const areUnused = await scene.becomes(SECONDS, async () => {
    const used = await usedOn(scene, node);
    return ids.every((id) => !used.has(id));
  });
  scene.promised(
    areUnused && ids.length === unused.length && ids.every((id) => held.has(id)),
    `${ids.length} images that no pod uses are in the engine's storage and in AtomFS's store`,
  );
  const before = await containersOn(scene, node);
  const file = join(nodeDirectory(node), "kubelet.yaml");
  const settings = await readFile(file, "utf8");
  await writeFile(file, `${JSON.stringify({ ...(JSON.parse(settings) as object), ...AT_ONCE })}\n`);
  await restartKubelet(scene, node);
  // While CRI-O removes an image, it answers nothing about images.
  const areGone = await scene.becomes(SECONDS, async () => {
    const now = await heldBy(scene, node).catch(() => undefined);
    return now !== undefined && ids.every((id) => !now.has(id));
  });
  scene.promised(areGone, "kubelet's garbage collection removes them from the engine");
  await writeFile(file, settings);
  await restartKubelet(scene, node);
  const gc = (grace: string): Promise<GcAnswer> => scene.atomfs<GcAnswer>(node, ["gc", "--grace", grace]);
  const has = (list: GcAnswer["images"], id: string): boolean => list.some(({ config }) => config === id);
  let early: GcAnswer | undefined;
  // It asks CRI-O where its images are, which may still remove others.
  await scene.becomes(SECONDS, async () => {
    early = await gc("1h").catch(() => undefined);
    return early !== undefined;
  });
  const { images: dropped = [], waiting = [] } = early ?? {};
  scene.promised(
    early !== undefined && dropped.length === 0 && ids.every((id) => has(waiting, id)),
    "`atomfs gc` keeps them for the grace time",
  );
  const late = await gc("0");
  const left = new Set((await scene.atomfs<readonly Known[]>(node, ["images"])).map(({ id }) => id));
  scene.promised(
    ids.every((id) => has(late.images, id) && !left.has(id)),
    "and removes them from its store after it",
  );
  await unharmed(scene, node, before);
  await scene.cluster.kubectl.run(["delete", `pod/${kept.name}`]);
}

async function unharmed(scene: Scene, node: NodeName, before: ReadonlySet<string>): Promise<void> {
  const answers = ["exec", `--namespace=default`, await aPodOn(scene, node), "--", "true"];
  const isBack = await scene.becomes(SECONDS, () => scene.cluster.kubectl.works(answers));
  const after = await containersOn(scene, node);
  scene.promised(
    isBack && before.size > 0 && [...before].every((id) => after.has(id)),
    `the ${before.size} containers of images that are used run on, ready`,
  );
  const rows = (await scene.containers(node)).filter(({ root }) => root !== "stopped");
  scene.promised(
    rows.length > 0 && rows.every(({ root }) => root === "current"),
    "on their images' current molecules",
  );
  const { stdout } = await scene.tried(node, ["fsck"]);
  const { problems } = JSON.parse(stdout) as { readonly problems: readonly unknown[] };
  scene.promised(
    problems.length === 0,
    `and the store is whole ${problems.length === 0 ? "" : stdout.slice(0, 300)}`,
  );
}

async function aPodOn(scene: Scene, node: NodeName): Promise<string> {
  return (await readyOn(scene, node))[0]?.metadata.name ?? "";
}

async function readyOn(scene: Scene, node: NodeName): Promise<readonly Pod[]> {
  return (await scene.podsOn(node)).filter(
    (pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined,
  );
}

async function containersOn(scene: Scene, node: NodeName): Promise<ReadonlySet<string>> {
  const statuses = (await readyOn(scene, node)).flatMap(({ status }) => status.containerStatuses ?? []);
  return new Set(statuses.flatMap(({ containerID }) => containerID ?? []));
}

/** Image ids as AtomFS knows them. */
async function heldBy(scene: Scene, node: NodeName): Promise<ReadonlySet<string>> {
  const { images } = JSON.parse(await scene.crictl(node, ["images", "--output", "json"])) as Held;
  return new Set(images.map(({ id }) => id.replace(/^sha256:/, "")));
}

/** Of containers that have ended, too. */
async function usedOn(scene: Scene, node: NodeName): Promise<ReadonlySet<string>> {
  const list = await scene.crictl(node, ["ps", "--all", "--output", "json"]);
  return new Set((JSON.parse(list) as Used).containers.map(({ imageId }) => imageId));
}

async function restartKubelet({ cluster }: Scene, node: NodeName): Promise<void> {
  const { child } = cluster.daemonsOf(node).kubelet;
  child.kill("SIGTERM");
  await child.exited;
  cluster.replaceDaemons(node, { kubelet: startKubelet({ node, kubectl: cluster.kubectl }) });
}
