import { AtomfsError } from "../../src/core/errors.ts";
import { makeControlNetwork, startControlPlane, startRegistry } from "./control-plane.ts";
import { Kubectl } from "./kubectl.ts";
import { bootNode, type NodeDaemons, type NodeOptions, startNode } from "./node.ts";
import { openPlace, PROGRAMS } from "./opened-place.ts";
import { pushPauseImage } from "./pause-image.ts";
import { makePki } from "./pki.ts";
import type { NodeName } from "./place.ts";
import { powerOff } from "./power-off.ts";

/** A real Kubernetes on this machine, gone without a trace when it is disposed of. */
export class Cluster {
  readonly kubectl: Kubectl;
  /** With atomfs, crio-lxc and the player. */
  readonly programs: string = PROGRAMS;
  readonly nodes: NodeName[] = [];
  readonly #daemons = new Map<NodeName, NodeDaemons>();
  readonly #signal: AbortSignal;
  #pause = "";

  private constructor(kubectl: Kubectl, signal: AbortSignal) {
    this.kubectl = kubectl;
    this.#signal = signal;
  }

  /** Builds what is missing, and starts the control plane and a registry. */
  static async start(log: (text: string) => void, signal: AbortSignal): Promise<Cluster & AsyncDisposable> {
    const { path, clear } = await openPlace({ log, signal });
    try {
      const kubectl = new Kubectl(path, signal);
      const cluster = new Cluster(kubectl, signal);
      await makePki(signal);
      await makeControlNetwork();
      await startControlPlane(kubectl, signal);
      await startRegistry(signal);
      cluster.#pause = await pushPauseImage(signal);
      return Object.assign(cluster, { [Symbol.asyncDispose]: clear });
    } catch (error) {
      await clear();
      throw error;
    }
  }

  async addNode(node: NodeName): Promise<void> {
    this.#daemons.set(node, await startNode(this.nodeOptions(node)));
    this.nodes.push(node);
  }

  /** All that runs on the node is killed, and what would not survive a machine's reboot is gone; then it starts again. */
  async rebootNode(node: NodeName): Promise<void> {
    await powerOff(node);
    this.#daemons.set(node, await bootNode(this.nodeOptions(node)));
  }

  nodeOptions(node: NodeName): NodeOptions {
    const { kubectl, programs } = this;
    return { node, kubectl, programs, pause: this.#pause, signal: this.#signal };
  }

  /** The programs of a node, as they were started last: whoever ends and starts one says so here. */
  daemonsOf(node: NodeName): NodeDaemons {
    const daemons = this.#daemons.get(node);
    if (daemons === undefined) throw new AtomfsError("not-found", `There is no node ${node}`);
    return daemons;
  }

  replaceDaemons(node: NodeName, started: Partial<NodeDaemons>): void {
    this.#daemons.set(node, { ...this.daemonsOf(node), ...started });
  }
}
