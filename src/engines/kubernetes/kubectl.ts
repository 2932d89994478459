import { AtomfsError } from "../../core/errors.ts";
import { type RunResult, run } from "../../sys/process.ts";
import type { ClusterLists, Restart } from "./owners.ts";
import { formatReport, type NodeReport, REPORT_ANNOTATION } from "./report.ts";

const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);

/** A program call, with what it reads from stdin. */
export type KubectlCall = { readonly args: readonly string[]; readonly stdin?: string };

export type KubectlOptions = {
  /** Else where kubectl itself looks: KUBECONFIG, ~/.kube/config. */
  readonly kubeconfig?: string;
  readonly signal?: AbortSignal;
};

/** @throws AtomfsError "unsupported" without kubectl, "failed" if it fails */
export async function readClusterLists(options: KubectlOptions): Promise<ClusterLists> {
  const get = async (what: string, ...scope: readonly string[]): Promise<string> => {
    const { stdout } = await kubectl({ args: ["get", what, ...scope, "--output=json"] }, options);
    return stdout.toString();
  };
  const all = "--all-namespaces";
  // The reports first: a pod that is made later is in no report.
  const nodes = await get("nodes");
  const [pods, replicasets, statefulsets, daemonsets] = await Promise.all([
    get("pods", all),
    get("replicasets.apps", all),
    get("statefulsets.apps", all),
    get("daemonsets.apps", all),
  ]);
  return { nodes, pods, replicasets, statefulsets, daemonsets };
}

/** What asks Kubernetes for new pods. */
export function restartCall(restart: Exclude<Restart, { how: "blocked" }>): KubectlCall {
  const { namespace, kind, name } = restart.owner;
  if (restart.how === "rollout") {
    const target = `${kind.toLowerCase()}/${name}`;
    return { args: ["--namespace", namespace, "rollout", "restart", target] };
  }
  const [pod] = restart.pods;
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { namespace, name: pod } };
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}/eviction`;
  return { args: ["create", "--raw", path, "--filename=-"], stdin: JSON.stringify(eviction) };
}

/** @returns one sentence that says why not, if Kubernetes refuses */
export async function callRestart(call: KubectlCall, options: KubectlOptions): Promise<string | undefined> {
  const { code, stderr } = await kubectl(call, options, ANY_CODE);
  return code === 0 ? undefined : stderr.trim().split("\n").at(-1)?.slice(0, 500);
}

/** Writes the node's report. A kubelet's own credentials suffice. */
export async function publishReport(
  node: string,
  report: NodeReport,
  options: KubectlOptions,
): Promise<void> {
  const metadata = { annotations: { [REPORT_ANNOTATION]: formatReport(report) } };
  const { code, stderr } = await kubectl(
    {
      // Not an argument: the kernel takes no more than 128 KiB for one.
      args: ["patch", "node", node, "--type=merge", "--patch-file=/dev/stdin"],
      stdin: JSON.stringify({ metadata }),
    },
    options,
    ANY_CODE,
  );
  if (code === 0) return;
  throw new AtomfsError("failed", `Cannot annotate node ${node}: ${stderr.trim().slice(-500)}`, {
    hints: ["--kubeconfig with the node's own credentials, as kubelet's"],
  });
}

function kubectl(
  { args, stdin }: KubectlCall,
  { kubeconfig, signal }: KubectlOptions,
  okCodes: readonly number[] = [0],
): Promise<RunResult> {
  const config = kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`];
  return run(["kubectl", ...config, ...args], {
    okCodes,
    ...(signal === undefined ? {} : { signal }),
    ...(stdin === undefined ? {} : { stdin: new TextEncoder().encode(stdin) }),
  });
}
