import { makeControlNetwork, startControlPlane, startRegistry } from "./control-plane.ts";
import { Kubectl } from "./kubectl.ts";
import { startNode } from "./node.ts";
import { openPlace, PROGRAMS } from "./opened-place.ts";
import { pushPauseImage } from "./pause-image.ts";
import { makePki } from "./pki.ts";
import type { NodeName } from "./place.ts";

/** A real Kubernetes on this machine, gone without a trace when it is disposed of. */
export class Cluster {
  readonly kubectl: Kubectl;
  /** With atomfs, crio-lxc and the player. */
  readonly programs: string = PROGRAMS;
  readonly nodes: NodeName[] = [];
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
    await startNode({
      node,
      kubectl: this.kubectl,
      programs: this.programs,
      pause: this.#pause,
      signal: this.#signal,
    });
    this.nodes.push(node);
  }
}
