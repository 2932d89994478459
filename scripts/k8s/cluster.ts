import { rmSync } from "node:fs";
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { buildAtomfs, copyPrograms } from "../demo/commands.ts";
import { makeOwnDirectory, takeLock } from "../demo/workplace.ts";
import { kubernetesBinaries } from "./binaries.ts";
import { makeControlNetwork, pushImage, startControlPlane, startRegistry } from "./control-plane.ts";
import { Kubectl } from "./kubectl.ts";
import { startNode } from "./node.ts";
import { makePki } from "./pki.ts";
import { clearPlace, type NodeName, PLACE } from "./place.ts";

const PROGRAMS = join(PLACE, "programs");
/** A process that does nothing, for pods that share their processes. */
const PAUSE_SECONDS = "2147483647";

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
    makeOwnDirectory(PLACE);
    const lock = takeLock({ purpose: "Kubernetes of AtomFS's demo or tests", directory: PLACE });
    const clear = async (): Promise<void> => {
      try {
        await clearPlace(PROGRAMS);
      } finally {
        lock[Symbol.dispose]();
      }
      rmSync(PLACE, { recursive: true, force: true });
    };
    try {
      const binaries = await kubernetesBinaries({ log, signal });
      const path = `${binaries}:${process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"}`;
      await buildAtomfs(signal);
      await clearPlace(PROGRAMS);
      await copyPrograms(PROGRAMS);
      const kubectl = new Kubectl(path, signal);
      const cluster = new Cluster(kubectl, signal);
      await makePki(signal);
      await makeControlNetwork();
      await startControlPlane(kubectl, signal);
      await startRegistry(signal);
      cluster.#pause = await pushImage(await makePauseImage(signal), "pause:1", signal);
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

async function makePauseImage(signal: AbortSignal): Promise<string> {
  const root = join(PLACE, "pause-root");
  const layout = join(PLACE, "pause-layout");
  await mkdir(join(root, "bin"), { recursive: true });
  await cp("/bin/busybox", join(root, "bin/sleep"));
  const umoci = (...args: readonly string[]): Promise<unknown> => run(["umoci", ...args], { signal });
  const image = `${layout}:1`;
  await umoci("init", "--layout", layout);
  await umoci("new", "--image", image);
  await umoci("insert", "--image", image, join(root, "bin"), "/bin");
  await umoci("config", "--image", image, "--config.entrypoint=/bin/sleep", `--config.cmd=${PAUSE_SECONDS}`);
  return `oci:${image}`;
}
