import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { DEFAULT_STATE_DIRECTORY } from "../../src/runtime/argv.ts";
import { type RunResult, run } from "../../src/sys/process.ts";
import { patience } from "../../tests/support/slowness.ts";
import { makeControlNetwork, pushImage, startRegistry } from "./control-plane.ts";
import { connectPods, startEngine } from "./node.ts";
import { nodeEnv } from "./node-files.ts";
import { openPlace, PROGRAMS } from "./opened-place.ts";
import { pushPauseImage } from "./pause-image.ts";
import { nodeDirectory, nodeNetwork, PLACE, storeOf } from "./place.ts";

const NODE = "n1";
const POD_RANGE = "10.128.0.0/22";
/** NamespaceMode of k8s.io/cri-api (runtime/v1). */
const NAMESPACE = { pod: 0, container: 1, node: 2 } as const;
const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);

export type LoneCrioOptions = {
  readonly log: (text: string) => void;
  readonly signal: AbortSignal;
  /** CRI-O's configuration drop-ins by their file names. */
  readonly dropIns?: Readonly<Record<string, string>>;
  /** Work to be done before CRI-O starts, in the place that is there by then. */
  readonly before?: () => Promise<void> | void;
};

export type PodOptions = {
  readonly name: string;
  readonly image: string;
  /** The runtime, if it isn't crio-lxc. */
  readonly handler?: string;
  /** With a network of its own, which takes the CNI plugins' time. */
  readonly hasNetwork?: boolean;
  readonly command?: readonly string[];
  /** Below the node's control group; default: that itself. */
  readonly cgroup?: string;
  /** Several containers of a pod have a name each. */
  readonly container?: string;
};

export type Pod = { readonly sandbox: string; readonly container: string };

/**
 * A node's CRI-O without Kubernetes, asked through crictl as kubelet asks it: for what needs no cluster. Gone without a trace when
 * it is disposed of.
 */
export class LoneCrio {
  readonly programs: string = PROGRAMS;
  readonly storeRoot: string = storeOf(NODE);
  readonly graphRoot: string = join(nodeDirectory(NODE), "storage");
  /** Of crio-lxc. */
  readonly log: string = join(nodeDirectory(NODE), "crio-lxc.log");
  /** For atomfs and crictl. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly #crictl: string;
  readonly #signal: AbortSignal;
  readonly #configs: string = join(PLACE, "pods");

  private constructor(path: string, signal: AbortSignal) {
    this.env = { ...process.env, ...nodeEnv(NODE, path) };
    this.#crictl = Bun.which("crictl", { PATH: path }) ?? "crictl";
    this.#signal = signal;
    mkdirSync(this.#configs, { recursive: true });
  }

  /** Builds what is missing. @returns when CRI-O answers */
  static async start(options: LoneCrioOptions): Promise<LoneCrio & AsyncDisposable> {
    const { log, signal, dropIns = {}, before } = options;
    const { path, clear } = await openPlace({ log, signal, parts: ["crio", "cri-tools"] });
    mkdirSync(storeOf(NODE), { recursive: true });
    try {
      await makeControlNetwork();
      await startRegistry(signal);
      const pause = await pushPauseImage(signal);
      await before?.();
      await startEngine({ node: NODE, path, programs: PROGRAMS, pause, signal, dropIns });
      await connectPods(NODE, POD_RANGE);
      return Object.assign(new LoneCrio(path, signal), { [Symbol.asyncDispose]: clear });
    } catch (error) {
      await clear();
      throw error;
    }
  }

  /** @param source as skopeo takes it @returns the name that pods take */
  async pull(source: string, name: string): Promise<string> {
    const image = await pushImage(source, name, this.#signal);
    await this.crictl("pull", image);
    return image;
  }

  /** `crictl ARGS`. @throws AtomfsError "failed" with what it said */
  async crictl(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryCrictl(...args);
    if (code === 0) return stdout.toString().trim();
    throw new AtomfsError("failed", `crictl ${args[0]}: ${lastLineOf(stderr)}`);
  }

  tryCrictl(...args: readonly string[]): Promise<RunResult> {
    // As long as kubelet waits for a create, of a machine of 2026.
    const argv = [this.#crictl, "--timeout", `${patience(120)}s`, ...args] as const;
    return run(argv, { env: this.env, signal: this.#signal, okCodes: ANY_CODE });
  }

  /** `atomfs ARGS` of the node. */
  atomfs(...args: readonly string[]): Promise<RunResult> {
    const argv = [join(this.programs, "atomfs"), ...args] as const;
    return run(argv, { env: this.env, signal: this.#signal, okCodes: ANY_CODE });
  }

  /** What `atomfs --json ARGS` answers. @throws AtomfsError "failed" */
  async answer<T>(...args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.atomfs("--json", ...args);
    if (code === 0) return JSON.parse(stdout.toString()) as T;
    throw new AtomfsError("failed", `atomfs ${args.join(" ")}: ${lastLineOf(stderr)}`);
  }

  /** The `[at-create]` table of the node; without lines there is no file. */
  policy(...lines: readonly string[]): void {
    const file = join(nodeDirectory(NODE), "atomfs.toml");
    if (lines.length === 0) rmSync(file, { force: true });
    else writeFileSync(file, `[at-create]\n${lines.join("\n")}\n`);
  }

  /** A pod with one container, which runs. */
  async runPod(options: PodOptions): Promise<Pod> {
    const sandbox = await this.makeSandbox(options);
    const container = await this.createContainer(sandbox, options);
    await this.crictl("start", container);
    return { sandbox, container };
  }

  async makeSandbox(options: PodOptions): Promise<string> {
    const handler = options.handler === undefined ? [] : ["--runtime", options.handler];
    return this.crictl("runp", ...handler, this.#podFile(options));
  }

  async createContainer(sandbox: string, options: PodOptions): Promise<string> {
    return this.crictl("create", "--no-pull", sandbox, ...this.#containerFiles(options));
  }

  /** The same, for those who want to see it fail. */
  tryCreate(sandbox: string, options: PodOptions): Promise<RunResult> {
    return this.tryCrictl("create", "--no-pull", sandbox, ...this.#containerFiles(options));
  }

  /** What crio-lxc says AtomFS did about a container's root, without the names' common beginning. */
  async atCreate(container: string): Promise<Readonly<Record<string, string>>> {
    const argv = [
      join(this.programs, "crio-lxc"),
      "--root",
      DEFAULT_STATE_DIRECTORY,
      "state",
      container,
    ] as const;
    const { stdout } = await run(argv, { signal: this.#signal });
    const { annotations } = JSON.parse(stdout.toString()) as { annotations: Record<string, string> };
    const ours = Object.entries(annotations).filter(([key]) => key.startsWith("io.atomfs."));
    return Object.fromEntries(ours.map(([key, value]) => [key.slice("io.atomfs.".length), value]));
  }

  async exec(container: string, ...command: readonly string[]): Promise<string> {
    return this.crictl("exec", "--sync", container, ...command);
  }

  /** Their processes are killed at once: most do not heed what asks them to end. */
  async removePods(...sandboxes: readonly string[]): Promise<void> {
    const remove = async (sandbox: string): Promise<void> => {
      const containers = (await this.crictl("ps", "--quiet", "--pod", sandbox)).split("\n").filter(Boolean);
      if (containers.length > 0) await this.crictl("stop", "--timeout", "0", ...containers);
      await this.crictl("rmp", "--force", sandbox);
    };
    await Promise.all(sandboxes.map(remove));
  }

  #containerFiles(options: PodOptions): [string, string] {
    const { name, image, command = ["sleep", "1000000"], container = "c" } = options;
    const labels = kubeletLabels(name);
    const config = {
      metadata: { name: container },
      labels: { ...labels, "io.kubernetes.container.name": container },
      image: { image },
      command,
      log_path: `${name}.${container}.log`,
      linux: { security_context: { namespace_options: namespacesOf(options) } },
    };
    return [this.#file(`${name}.${container}`, config), this.#podFile(options)];
  }

  #podFile(options: PodOptions): string {
    const { name, cgroup } = options;
    const parent = cgroup === undefined ? nodeNetwork(NODE) : join(nodeNetwork(NODE), cgroup);
    const logs = join(PLACE, "podlogs");
    mkdirSync(logs, { recursive: true });
    return this.#file(`${name}.pod`, {
      metadata: { name, namespace: "default", uid: name, attempt: 0 },
      labels: kubeletLabels(name),
      log_directory: logs,
      linux: {
        cgroup_parent: `/${parent}`,
        security_context: { namespace_options: namespacesOf(options) },
      },
    });
  }

  #file(name: string, value: unknown): string {
    const path = join(this.#configs, `${name}.json`);
    writeFileSync(path, JSON.stringify(value));
    return path;
  }
}

/** As kubelet asks for: a pod without common processes needs no container that keeps their namespace. */
function namespacesOf({ hasNetwork = false }: PodOptions): Record<string, number> {
  return { network: hasNetwork ? NAMESPACE.pod : NAMESPACE.node, pid: NAMESPACE.container };
}

function kubeletLabels(name: string): Record<string, string> {
  return {
    "io.kubernetes.pod.name": name,
    "io.kubernetes.pod.namespace": "default",
    "io.kubernetes.pod.uid": name,
  };
}

function lastLineOf(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
