import { readdirSync, readFileSync } from "node:fs";
import { processesOf } from "../../scripts/demo/workplace.ts";
import type { Daemon } from "../../scripts/k8s/daemons.ts";
import { startCrio, startKubelet } from "../../scripts/k8s/node.ts";
import { NODE_MARK, type NodeName, nodeDirectory } from "../../scripts/k8s/place.ts";
import type { Scene } from "./scene.ts";

export type Victim = "kubelet" | "crio" | "crio-lxc" | "atomfs";
/** As often as each stands here. */
export const ALL_VICTIMS: readonly Victim[] = [
  "kubelet",
  "crio",
  "crio-lxc",
  "crio-lxc",
  "crio-lxc",
  "crio-lxc",
  "atomfs",
  "atomfs",
];
const PAUSE_MS = { least: 200, most: 2000 } as const;
/** How long a daemon is away, at most. */
const AWAY_MS = 1500;
/** How long a short-lived process is waited for. */
const WATCH_MS = 1500;
const WATCH_POLL_MS = 10;
/** How far into its work the process is let, at most. */
const LIFE_MS = 60;

/** Kills programs of a node at random, and starts again those that a node's service manager would. */
export class Killer {
  /** By what was killed: "kubelet", "crio-lxc create", "atomfs import". */
  readonly kills: Map<string, number> = new Map();
  readonly #scene: Scene;
  readonly #node: NodeName;
  readonly #next: () => number;
  readonly #victims: readonly Victim[];
  #isActive = false;
  #round: Promise<void> = Promise.resolve();

  constructor(scene: Scene, node: NodeName, victims: readonly Victim[], next: () => number) {
    this.#scene = scene;
    this.#node = node;
    this.#victims = victims;
    this.#next = next;
  }

  /** @param times that somebody is killed: kubelet and CRI-O need time between their starts to get anywhere */
  start(times: number): void {
    this.#isActive = true;
    this.#round = this.#run(times);
  }

  /** Back when all of the node's programs run. */
  async stop(): Promise<void> {
    this.#isActive = false;
    await this.#round;
  }

  async #run(times: number): Promise<void> {
    let isEngineWaiting = false;
    for (let i = 0; i < times && this.#isActive; i += 1) {
      await Bun.sleep(PAUSE_MS.least + this.#below(PAUSE_MS.most - PAUSE_MS.least));
      this.#scene.signal.throwIfAborted();
      const victim = this.#victims[this.#below(this.#victims.length)] ?? "crio-lxc";
      if (victim === "kubelet" || victim === "crio") await this.#killDaemon(victim);
      else await this.#killProcess(victim);
      if (victim === "kubelet") isEngineWaiting = true;
      if (victim === "crio") isEngineWaiting = false;
    }
    // CRI-O keeps a killed kubelet's requests: the next kubelet's for the same pods wait four minutes for them.
    if (isEngineWaiting) await this.#killDaemon("crio");
    while (this.#isActive) {
      this.#restartKubelet();
      await Bun.sleep(PAUSE_MS.least);
    }
  }

  /** One that starts while CRI-O is away ends by itself. */
  #restartKubelet(): void {
    const { cluster } = this.#scene;
    const node = this.#node;
    if (cluster.daemonsOf(node).kubelet.child.exitCode === null) return;
    cluster.replaceDaemons(node, { kubelet: startKubelet({ node, kubectl: cluster.kubectl }) });
  }

  #below(limit: number): number {
    return this.#next() % limit;
  }

  async #killDaemon(name: "kubelet" | "crio"): Promise<void> {
    const { cluster, signal } = this.#scene;
    const { child }: Daemon = cluster.daemonsOf(this.#node)[name];
    child.kill("SIGKILL");
    await child.exited;
    this.#count(name);
    await Bun.sleep(this.#below(AWAY_MS));
    const { kubectl } = cluster;
    const node = this.#node;
    if (name === "kubelet") cluster.replaceDaemons(node, { kubelet: startKubelet({ node, kubectl }) });
    else cluster.replaceDaemons(node, { crio: await startCrio({ node, path: kubectl.path, signal }) });
  }

  /** Whichever of them is there first; none, perhaps. */
  async #killProcess(name: "crio-lxc" | "atomfs"): Promise<void> {
    const life = this.#below(LIFE_MS);
    const end = performance.now() + WATCH_MS;
    while (performance.now() < end && this.#isActive) {
      const [found] = this.#running(name);
      if (found !== undefined) {
        const { pid, verb } = found;
        await Bun.sleep(life);
        // Its number may be another's by now.
        if (verbOf(pid, name) === verb && isKilled(pid)) {
          this.#count(`${name} ${verb}`);
          return;
        }
      }
      await Bun.sleep(WATCH_POLL_MS);
    }
  }

  #running(name: "crio-lxc" | "atomfs"): readonly { readonly pid: number; readonly verb: string }[] {
    const found = allPids().flatMap((pid) => {
      const verb = verbOf(pid, name);
      return verb === undefined ? [] : [{ pid, verb }];
    });
    if (found.length === 0) return [];
    const own = new Set(processesOf(nodeDirectory(this.#node), NODE_MARK));
    return found.filter(({ pid }) => own.has(pid));
  }

  #count(what: string): void {
    this.kills.set(what, (this.kills.get(what) ?? 0) + 1);
  }
}

/** Unless it has ended by itself just now. */
function isKilled(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false;
  }
}

function allPids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

const VERBS = /^(create|start|state|kill|delete|exec|update|ps|import|gc|fix|fsck|images|containers)$/;

/** The first word that is a verb, of a process that was called so; undefined for every other process. */
function verbOf(pid: number, name: string): string | undefined {
  try {
    const [program = "", ...words] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    if (program !== name && !program.endsWith(`/${name}`)) return undefined;
    return words.find((word) => VERBS.test(word));
  } catch {
    return undefined;
  }
}
