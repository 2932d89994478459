import { existsSync } from "node:fs";
import { AtomfsError } from "../../core/errors.ts";
import { run } from "../../sys/process.ts";
import type { Engine, EngineContainer } from "../engine.ts";
import {
  type InspectedProcess,
  parseContainerList,
  parseInspected,
  parseRuntimeHandlers,
  parseStorageRoots,
} from "./output.ts";

/** Where crictl is told which engine it asks (crictl's own documentation): its configuration, or CRI-O's socket. */
const CRICTL_CONFIG = "/etc/crictl.yaml";
const CRIO_SOCKET = "/run/crio/crio.sock";
/** crictl's own variable for the engine's socket. */
const ENDPOINT = "CONTAINER_RUNTIME_ENDPOINT";
/** Far below the kernel's limit for one command line. */
const IDS_PER_CALL = 200;
/** crictl's exit code for its own errors, as "no such container". */
const CRICTL_ERROR = 1;
/** An engine that hangs must not hang who asks it: far more than a busy node takes for its list of containers. */
const LIMIT_MS = 60_000;

/**
 * The engine under kubelet (CRI-O, or containerd's CRI plugin), asked through `crictl`. Its containers are kubelet's: it
 * makes them anew when their pod is made anew, and nobody else may restart them.
 */
export class CriEngine implements Engine {
  readonly name = "cri";

  /** Is this machine a node? Else there is nothing to ask, and crictl may be absent. */
  static isConfigured(): boolean {
    return isTold() || existsSync(CRIO_SOCKET);
  }

  async describeUnavailable(): Promise<string | undefined> {
    try {
      await crictl(["version"], {});
      return undefined;
    } catch (error) {
      if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
      if (error.kind === "unsupported") return "crictl is not installed, which AtomFS asks CRI-O with.";
      return `crictl is installed but does not work: ${error.message}`;
    }
  }

  /** All containers of pods, stopped ones too. One that is removed meanwhile is left out. */
  async listContainers(options: { readonly signal?: AbortSignal } = {}): Promise<EngineContainer[]> {
    const { stdout } = await crictl(["ps", "--all", "--output", "json"], options);
    const listed = parseContainerList(stdout.toString());
    const pods = await crictl(["pods", "--output", "json"], options);
    const handlers = parseRuntimeHandlers(pods.stdout.toString());
    const running = listed.filter((each) => each.state === "running").map((each) => each.id);
    const processes = new Map<string, InspectedProcess>();
    for (let at = 0; at < running.length; at += IDS_PER_CALL) {
      for (const each of await inspect(running.slice(at, at + IDS_PER_CALL), options))
        processes.set(each.id, each);
    }
    return listed.flatMap((listedOne): EngineContainer[] => {
      const each = { ...listedOne, runtimeHandler: handlers.get(listedOne.pod ?? "") };
      const found = processes.get(each.id);
      if (found !== undefined) return [{ ...each, ...found, imageName: found.imageName || each.imageName }];
      return each.state === "running" ? [] : [{ ...each, pid: undefined, startedAt: undefined }];
    });
  }

  /**
   * Graph roots of containers/storage, if that is what the engine stores in.
   * @throws AtomfsError "failed"
   */
  async storageRoots(options: { readonly signal?: AbortSignal } = {}): Promise<readonly string[]> {
    const { stdout } = await crictl(["imagefsinfo", "--output", "json"], options);
    return parseStorageRoots(stdout.toString());
  }

  /** @throws AtomfsError "blocked": always */
  async restart({ name, kubernetesPod }: EngineContainer): Promise<void> {
    const hints =
      kubernetesPod === undefined
        ? ["remove it with crictl and make it again"]
        : [
            "atomfs restart --outdated --cluster, which restarts its owner through Kubernetes",
            `kubectl --namespace ${kubernetesPod.namespace} delete pod ${kubernetesPod.name}`,
          ];
    throw new AtomfsError("blocked", `Cannot restart container ${name}: kubelet is its master`, { hints });
  }
}

async function inspect(
  ids: readonly string[],
  options: { readonly signal?: AbortSignal },
): Promise<readonly InspectedProcess[]> {
  if (ids.length === 0) return [];
  const args = ["inspect", "--output", "json", ...ids];
  const { code, stdout, stderr } = await crictl(args, { ...options, okCodes: [0, CRICTL_ERROR] });
  if (code === 0) return parseInspected(stdout.toString());
  if (!/not found|does not exist/i.test(stderr))
    throw new AtomfsError("failed", `Cannot ask crictl for containers: ${stderr.trim().slice(-500)}`);
  // One of them is gone, and crictl tells nothing of the others then.
  const [first, second] = ids;
  if (first === undefined || second === undefined) return [];
  const half = Math.ceil(ids.length / 2);
  return [...(await inspect(ids.slice(0, half), options)), ...(await inspect(ids.slice(half), options))];
}

function crictl(
  args: readonly string[],
  options: { readonly signal?: AbortSignal; readonly okCodes?: readonly number[] },
): ReturnType<typeof run> {
  const endpoint = isTold() ? [] : ["--runtime-endpoint", `unix://${CRIO_SOCKET}`];
  return run(["crictl", ...endpoint, ...args], { ...options, limitMs: LIMIT_MS });
}

function isTold(): boolean {
  return (process.env[ENDPOINT] ?? "") !== "" || existsSync(CRICTL_CONFIG);
}
