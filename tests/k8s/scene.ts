import { join } from "node:path";
import type { ContainerRow, VerifyAnswer } from "../../scripts/demo/answers.ts";
import { Commands } from "../../scripts/demo/commands.ts";
import { VULNERABLE_PACKAGE } from "../../scripts/demo/images.ts";
import { Story } from "../../scripts/demo/story.ts";
import { attackApp } from "../../scripts/k8s/attack-app.ts";
import type { Cluster } from "../../scripts/k8s/cluster.ts";
import type { Attacks, Promised } from "../../scripts/k8s/cluster-story.ts";
import { APPS } from "../../scripts/k8s/manifests.ts";
import { nodeEnv } from "../../scripts/k8s/node-files.ts";
import { kubeconfigOf } from "../../scripts/k8s/pki.ts";
import { CONTROL_NETWORK, type NodeName, nodeNetwork } from "../../scripts/k8s/place.ts";
import { patience } from "../support/slowness.ts";

/** Kubernetes' own JSON, as far as these tests read it. */
export type Pod = {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
    readonly ownerReferences?: readonly { readonly kind: string }[];
  };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
};
type Ended = { readonly exitCode: number; readonly reason: string };
export type ContainerStatus = {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly containerID?: string;
  readonly state: {
    readonly terminated?: Ended;
    readonly running?: object;
    readonly waiting?: { readonly reason: string };
  };
  readonly lastState: { readonly terminated?: Ended };
};

export type RestartOutcome = {
  readonly how: "rollout" | "evict" | "blocked";
  readonly owner: { readonly kind: string; readonly name: string };
  readonly pods: readonly string[];
  readonly error?: string;
};

export function isReady({ status }: Pod): boolean {
  return status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;
}

/** A network namespace; else the machine's own, where Debian's archive is. */
type InPlace = { readonly network?: string };

const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);
const POLL_MS = 300;

export type SceneParts = {
  readonly cluster: Cluster;
  readonly story: Story;
  readonly promised: Promised;
  readonly signal: AbortSignal;
  /** What the exploit did to the vulnerable Deployments. */
  readonly vulnerable: Attacks;
};

/** A cluster on which something is tried. */
export class Scene {
  readonly cluster: Cluster;
  readonly promised: Promised;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
  readonly #vulnerable: Attacks;
  readonly #silent = new Story(true);

  constructor({ cluster, story, promised, signal, vulnerable }: SceneParts) {
    this.cluster = cluster;
    this.promised = promised;
    this.signal = signal;
    this.say = story.say;
    this.#vulnerable = vulnerable;
  }

  /** @returns what `atomfs --json` on the node answers @throws AtomfsError of its exit code */
  atomfs<T>(node: NodeName, args: readonly string[], place: InPlace = {}): Promise<T> {
    return this.#commands(node, place).quietly<T>(args);
  }

  /** As `atomfs`, and any exit code is an answer. */
  async tried(
    node: NodeName,
    args: readonly string[],
    place: InPlace = {},
  ): Promise<{ readonly stdout: string }> {
    const program = join(this.cluster.programs, "atomfs");
    return { stdout: await this.#commands(node, place).run([program, "--json", ...args], ANY_CODE) };
  }

  crictl(node: NodeName, args: readonly string[]): Promise<string> {
    return this.#commands(node).run(["crictl", ...args]);
  }

  #commands(node: NodeName, { network }: InPlace = {}): Commands {
    const { programs, kubectl } = this.cluster;
    const env = { ...process.env, ...nodeEnv(node, kubectl.path) };
    return new Commands(this.#silent, { programs, env, network }, this.signal);
  }

  /** As if the node's images had never been fixed: for containers that start from then on. */
  async revertAll(node: NodeName): Promise<void> {
    for (const { id } of await this.atomfs<readonly { readonly id: string }[]>(node, ["fix", "list"]))
      await this.atomfs(node, ["fix", "revert", id]);
  }

  async fix(node: NodeName): Promise<void> {
    await this.atomfs(node, ["fix", VULNERABLE_PACKAGE, "--yes"]);
  }

  /** The node tells Kubernetes what runs outdated there. */
  async report(node: NodeName): Promise<void> {
    const args = ["report", "--node", node, "--kubeconfig", kubeconfigOf(node)];
    await this.atomfs(node, args, { network: nodeNetwork(node) });
  }

  /** What the cluster's operator restarts, whatever becomes of it. */
  async restartOutdated(more: readonly string[] = []): Promise<readonly RestartOutcome[]> {
    const args = ["restart", "--outdated", "--cluster", "--kubeconfig", kubeconfigOf("admin"), ...more];
    const { stdout } = await this.tried("n1", args, { network: CONTROL_NETWORK });
    return (JSON.parse(stdout) as { readonly restarts: readonly RestartOutcome[] }).restarts;
  }

  containers(node: NodeName): Promise<readonly ContainerRow[]> {
    return this.atomfs<readonly ContainerRow[]>(node, ["containers"]);
  }

  /** Of all namespaces. */
  async pods(selector: readonly string[] = []): Promise<readonly Pod[]> {
    const list = ["get", "pods", "--all-namespaces", ...selector];
    return (await this.cluster.kubectl.json<{ readonly items: readonly Pod[] }>(list)).items;
  }

  async podsOn(node: NodeName): Promise<readonly Pod[]> {
    return this.pods([`--field-selector=spec.nodeName=${node}`]);
  }

  /** The exploit is dead: far faster than before the fix, which was seconds. */
  async exploitIsDead(): Promise<boolean> {
    for (const app of APPS) {
      const { documentMs } = await attackApp(this.cluster, app, this.signal);
      if (documentMs * 3 >= this.#vulnerable[app].documentMs) return false;
    }
    return true;
  }

  async isVerified(node: NodeName): Promise<boolean> {
    const answer = await this.atomfs<VerifyAnswer>(node, ["fix", "verify"]);
    return answer.length > 0 && answer.every((each) => each.isFixed);
  }

  /** Asks again and again. @returns whether it became so within the time of a machine of 2026 */
  async becomes(seconds: number, isSo: () => Promise<boolean>): Promise<boolean> {
    const end = performance.now() + patience(seconds * 1000);
    while (!(await isSo())) {
      this.signal.throwIfAborted();
      if (performance.now() > end) return false;
      await Bun.sleep(POLL_MS);
    }
    return true;
  }
}
