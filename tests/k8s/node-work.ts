import { join } from "node:path";
import type { ImageRow } from "../../scripts/demo/answers.ts";
import { VULNERABLE_PACKAGE } from "../../scripts/demo/images.ts";
import { nodeEnv } from "../../scripts/k8s/node-files.ts";
import { type NodeName, nodeDirectory } from "../../scripts/k8s/place.ts";
import type { Scene } from "./scene.ts";

const TRIES = 20;

/** What an operator and a timer do on a node meanwhile, one command after the other: some of them are killed. */
export class NodeWork {
  readonly #scene: Scene;
  readonly #node: NodeName;
  readonly #images: readonly string[];
  readonly #next: () => number;
  #isActive = false;
  #round: Promise<void> = Promise.resolve();

  constructor(scene: Scene, node: NodeName, images: readonly string[], next: () => number) {
    this.#scene = scene;
    this.#node = node;
    this.#images = images;
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
      ...this.#images.map((image) => ["import", "--graph-root", graph, `containers-storage:${image}`]),
      ["fix", "plan", VULNERABLE_PACKAGE],
    ] as const;
    while (this.#isActive) {
      await this.#once(commands[this.#next() % commands.length] ?? ["gc"]);
      await Bun.sleep(200);
    }
  }

  /** Tried again and again: it may be killed, the store may be busy, and containers may still be made of the image. */
  async forget(image: string): Promise<void> {
    const has = async (): Promise<boolean> => {
      const images = await this.#scene
        .atomfs<readonly ImageRow[]>(this.#node, ["images"])
        .catch(() => undefined);
      return images === undefined || images.some(({ names }) => names.some((name) => name.includes(image)));
    };
    for (let i = 0; i < TRIES && (await has()); i += 1) await this.#once(["images", "remove", image]);
  }

  async #once(args: readonly string[]): Promise<void> {
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
