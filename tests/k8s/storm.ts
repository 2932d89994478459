import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerRow, ImageRow } from "../../scripts/demo/answers.ts";
import { APPS } from "../../scripts/k8s/manifests.ts";
import { type NodeName, nodeDirectory, REGISTRY } from "../../scripts/k8s/place.ts";
import { random } from "../support/random.ts";
import { ALL_VICTIMS, Killer, type Victim } from "./killer.ts";
import { nothingLeaked } from "./leaks.ts";
import { NodeWork } from "./node-work.ts";
import { isReady, type Scene } from "./scene.ts";
import { STORM_LABEL, stormPod } from "./storm-pods.ts";

export type StormOptions = { readonly pods: number; readonly seed: number };

const BATCH = 20;
const SHOWN = 10;
const KILLS_PER_POD = 0.6;
/** Of a batch: kubelet waits before it tries again what a killed program did not do. */
const SECONDS = 300;
const IMAGES = ["web:1.0", "feed:1.0"].map((name) => `${REGISTRY}/demo/${name}`);
/** Then a container never runs without its image's fixes, whoever is killed: kubelet tries again. */
const POLICY = '[at-create]\nunknown = "import"\non-error = "refuse"\n';

/**
 * Pods with fixes come and go on a node, in batches, while crio-lxc and atomfs are killed at random, and from the middle on
 * kubelet and CRI-O, too. Then nothing is leaked, and no pod ran on a wrong molecule.
 */
export async function storm(scene: Scene, node: NodeName, options: StormOptions): Promise<void> {
  const { pods, seed } = options;
  for (const app of APPS) await scene.cluster.kubectl.run(["delete", "deployment", app]);
  await scene.cluster.kubectl.run(["delete", "pod", "--all"]);
  const policy = join(nodeDirectory(node), "atomfs.toml");
  await writeFile(policy, POLICY);
  const half = Math.floor(pods / 2);
  const gentle = ALL_VICTIMS.filter((victim) => victim === "crio-lxc" || victim === "atomfs");
  const cleanUp = (): Promise<unknown> => scene.atomfs(node, ["gc"]);
  await round(scene, node, { pods: half, seed, victims: gentle });
  await nothingLeaked(scene, node, "after half of the storm", { cleanUp });
  await round(scene, node, { pods: pods - half, seed: seed + 1, victims: ALL_VICTIMS });
  await nothingLeaked(scene, node, "after the storm", { cleanUp, engineWasKilled: true });
  await rm(policy);
  const { stdout } = await scene.tried(node, ["fsck"]);
  const { problems } = JSON.parse(stdout) as { readonly problems: readonly unknown[] };
  scene.promised(problems.length === 0, `after the storm the store is whole${told(problems.map(String))}`);
}

type Round = StormOptions & { readonly victims: readonly Victim[] };

async function round(scene: Scene, node: NodeName, { pods, seed, victims }: Round): Promise<void> {
  const { kubectl } = scene.cluster;
  scene.say(`${pods} pods, seed ${seed}, victims ${[...new Set(victims)].join(", ")}`);
  const next = random(seed);
  const killer = new Killer(scene, node, victims, random(seed + 1000));
  const work = new NodeWork(scene, node, IMAGES, random(seed + 2000));
  const before = await currentOf(scene, node);
  const wrong: string[] = [];
  let ready = 0;
  for (let made = 0; made < pods; made += BATCH) {
    const count = Math.min(BATCH, pods - made);
    const start = performance.now();
    const image = (i: number): string => IMAGES[(made + i) % IMAGES.length] ?? "";
    const names = Array.from({ length: count }, (_, i) => `storm-${seed}-${made + i}`);
    const items = names.map((name, i) => stormPod({ name, image: image(i), node }, next()));
    killer.start(Math.ceil(count * KILLS_PER_POD));
    work.start();
    // The next container of it has the image imported.
    await work.forget(image(next() % IMAGES.length));
    await kubectl.run(["apply", "--filename=-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    const areReady = await scene.becomes(SECONDS, () => areAllReady(scene, names));
    await work.stop();
    await killer.stop();
    const rows = await scene.containers(node);
    for (const name of names) {
      const own = rows.filter((row) => row.name.startsWith(`default/${name}/`) && row.root !== "stopped");
      const bad = own.filter((row) => !isRight(row, before));
      wrong.push(...bad.map((row) => `${row.name}: ${row.root} ${row.molecule ?? ""}`));
      if (areReady && own.length > 0) ready += 1;
    }
    await kubectl.run(["delete", "pod", "--wait=false", ...names]);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    scene.say(`${made + count} of ${pods}: ${areReady ? "ready" : "NOT READY"} after ${seconds} s`);
    if (!areReady) break;
  }
  const kills = [...killer.kills].sort(([a], [b]) => (a < b ? -1 : 1));
  scene.say(`killed: ${kills.map(([what, often]) => `${what} ${often}`).join(", ")}`);
  scene.promised(ready === pods, `${pods} pods came up while programs were killed (seed ${seed}): ${ready}`);
  scene.promised(wrong.length === 0, `no pod of seed ${seed} ran on a wrong molecule${told(wrong)}`);
  const isEmpty = await scene.becomes(
    SECONDS,
    async () => (await scene.pods([`--selector=app=${STORM_LABEL}`])).length === 0,
  );
  scene.promised(isEmpty, `all pods of seed ${seed} went away`);
}

function told(wrong: readonly string[]): string {
  return wrong.length === 0 ? "" : `: ${wrong.slice(0, SHOWN).join(", ")}`;
}

type Current = ReadonlySet<string>;

/** The molecules that the images have, with their fixes. */
async function currentOf(scene: Scene, node: NodeName): Promise<Current> {
  const images = await scene.atomfs<readonly ImageRow[]>(node, ["images"]);
  return new Set(images.map(({ molecule }) => molecule));
}

/** An image that was forgotten and imported again, with the same fixes, has the same molecule as before. */
function isRight(row: ContainerRow, current: Current): boolean {
  return row.root === "current" && row.molecule !== undefined && current.has(row.molecule);
}

async function areAllReady(scene: Scene, names: readonly string[]): Promise<boolean> {
  const pods = await scene.pods([`--selector=app=${STORM_LABEL}`]);
  return names.every((name) => pods.some((pod) => pod.metadata.name === name && isReady(pod)));
}
