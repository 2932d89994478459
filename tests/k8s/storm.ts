import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerRow, ImageRow } from "../../scripts/demo/answers.ts";
import { VULNERABLE_PACKAGE } from "../../scripts/demo/images.ts";
import { APPS } from "../../scripts/k8s/manifests.ts";
import { nodeEnv } from "../../scripts/k8s/node-files.ts";
import { type NodeName, nodeDirectory, REGISTRY } from "../../scripts/k8s/place.ts";
import { random } from "../support/random.ts";
import { Killer } from "./killer.ts";
import { nothingLeaked } from "./leaks.ts";
import { isReady, type Scene } from "./scene.ts";
import { STORM_LABEL, stormPod } from "./storm-pods.ts";

export type StormOptions = { readonly pods: number; readonly seed: number };

const BATCH = 20;
const KILLS_PER_POD = 0.6;
/** Of a batch: kubelet waits before it tries again what a killed program did not do. */
const SECONDS = 300;
const IMAGES = ["web:1.0", "feed:1.0"].map((name) => `${REGISTRY}/demo/${name}`);
/** Then a container never runs without its image's fixes, whoever is killed: kubelet tries again. */
const POLICY = '[at-create]\nunknown = "import"\non-error = "refuse"\n';

/**
 * Pods with fixes come and go on a node, in batches, while kubelet, CRI-O, crio-lxc and atomfs are killed at random. Then nothing
 * is leaked, and no pod ran on a wrong molecule.
 */
export async function storm(scene: Scene, node: NodeName, { pods, seed }: StormOptions): Promise<void> {
  const { kubectl } = scene.cluster;
  scene.say(`${pods} pods, seed ${seed}`);
  for (const app of APPS) await kubectl.run(["delete", "deployment", app]);
  const policy = join(nodeDirectory(node), "atomfs.toml");
  await writeFile(policy, POLICY);
  const next = random(seed);
  const killer = new Killer(scene, node, random(seed + 1));
  const work = new NodeWork(scene, node, random(seed + 2));
  const before = await currentOf(scene, node);
  const wrong: string[] = [];
  let ready = 0;
  for (let made = 0; made < pods; made += BATCH) {
    const count = Math.min(BATCH, pods - made);
    const start = performance.now();
    killer.start(Math.ceil(count * KILLS_PER_POD));
    work.start();
    const image = (i: number): string => IMAGES[(made + i) % IMAGES.length] ?? "";
    // The next container of it has the image imported.
    await work.forget(image(next() % IMAGES.length));
    const items = Array.from({ length: count }, (_, i) =>
      stormPod({ name: `storm-${made + i}`, image: image(i), node }, next()),
    );
    await kubectl.run(["apply", "--filename=-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    const names = Array.from({ length: count }, (_, i) => `storm-${made + i}`);
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
  scene.promised(
    wrong.length === 0,
    `no pod ran on a wrong molecule${wrong.length === 0 ? "" : `: ${wrong.join(", ")}`}`,
  );
  const isEmpty = await scene.becomes(
    SECONDS,
    async () => (await scene.pods([`--selector=app=${STORM_LABEL}`])).length === 0,
  );
  scene.promised(isEmpty, "all pods of the storm went away");
  await rm(policy);
  await nothingLeaked(scene, node, "after the storm");
  await scene.atomfs(node, ["gc"]);
  const { problems } = await scene.atomfs<{ readonly problems: readonly unknown[] }>(node, ["fsck"]);
  scene.promised(
    problems.length === 0,
    `after the storm the store is whole: ${JSON.stringify(problems).slice(0, 500)}`,
  );
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

/** What an operator and a timer do on a node meanwhile, one command after the other: some of them are killed. */
class NodeWork {
  readonly #scene: Scene;
  readonly #node: NodeName;
  readonly #next: () => number;
  #isActive = false;
  #round: Promise<void> = Promise.resolve();

  constructor(scene: Scene, node: NodeName, next: () => number) {
    this.#scene = scene;
    this.#node = node;
    this.#next = next;
  }

  start(): void {
    this.#isActive = true;
    this.#round = this.#run();
  }

  async stop(): Promise<void> {
    this.#isActive = false;
    await this.#round;
  }

  async #run(): Promise<void> {
    const graph = join(nodeDirectory(this.#node), "storage");
    const commands = [
      ["gc"],
      ["fsck"],
      ...IMAGES.map((image) => ["import", "--graph-root", graph, `containers-storage:${image}`]),
      ["fix", "plan", VULNERABLE_PACKAGE],
    ] as const;
    while (this.#isActive) {
      await this.#run1(commands[this.#next() % commands.length] ?? ["gc"]);
      await Bun.sleep(200);
    }
  }

  /** Until it was done: it may be killed, and the store may be busy. */
  async forget(image: string): Promise<void> {
    const has = async (): Promise<boolean> => {
      const images = await this.#scene
        .atomfs<readonly ImageRow[]>(this.#node, ["images"])
        .catch(() => undefined);
      return images === undefined || images.some(({ names }) => names.some((name) => name.includes(image)));
    };
    while (await has()) await this.#run1(["images", "remove", image]);
  }

  async #run1(args: readonly string[]): Promise<void> {
    const { programs, kubectl } = this.#scene.cluster;
    this.#scene.signal.throwIfAborted();
    const child = Bun.spawn([join(programs, "atomfs"), ...args], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
      env: { ...process.env, ...nodeEnv(this.#node, kubectl.path) },
    });
    await child.exited;
  }
}
