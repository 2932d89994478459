import { AtomfsError } from "../../core/errors.ts";
import { type RunResult, run } from "../../sys/process.ts";
import { isFields, part, text } from "../json-fields.ts";
import {
  type ConditionState,
  conditionOf,
  nodeWithoutReport,
  nodeWithReport,
  type PodCounts,
} from "./condition.ts";
import type { PlannedEvent } from "./events.ts";
import { nodeOfUser } from "./node-credentials.ts";
import type { ClusterLists, Restart } from "./owners.ts";
import type { NodeReport } from "./report.ts";

/** An API server that hangs must not hang who asks it. Lists of a large cluster take their time. */
const LIMIT_MS = 60_000;
const LIST_LIMIT_MS = 5 * 60_000;
/** What kubectl may take above the time that it was told. */
const WAIT_GRACE_MS = 30_000;

const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);

/** A program call, with what it reads from stdin. */
export type KubectlCall = {
  readonly args: readonly string[];
  readonly stdin?: string;
  /** Milliseconds; default: a minute. */
  readonly limitMs?: number;
};

export type KubectlOptions = {
  /** Else where kubectl itself looks: KUBECONFIG, ~/.kube/config. */
  readonly kubeconfig?: string;
  readonly signal?: AbortSignal;
};

/** @throws AtomfsError "unsupported" without kubectl, "failed" if it fails */
export async function readClusterLists(options: KubectlOptions): Promise<ClusterLists> {
  const get = async (what: string, ...scope: readonly string[]): Promise<string> => {
    const args = ["get", what, ...scope, "--output=json"];
    const { stdout } = await kubectl({ args, limitMs: LIST_LIMIT_MS }, options);
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

/** What asks Kubernetes for new pods. An eviction is of this very pod, not of one that has its name by then. */
export function restartCall(restart: Exclude<Restart, { how: "blocked" }>): KubectlCall {
  const { namespace, kind, name } = restart.owner;
  if (restart.how === "rollout") {
    const target = `${kind.toLowerCase()}/${name}`;
    return { args: ["--namespace", namespace, "rollout", "restart", target] };
  }
  const { uid } = restart;
  const [pod] = restart.pods;
  const metadata = { namespace, name: pod };
  const deleteOptions = { preconditions: { uid } };
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata, deleteOptions };
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}/eviction`;
  return { args: ["create", "--raw", path, "--filename=-"], stdin: JSON.stringify(eviction) };
}

/** What waits for the end of a rollout that was asked for. @param limitMs rounded up to seconds */
export function waitCall({ owner }: Pick<Restart, "owner">, limitMs: number): KubectlCall {
  const target = `${owner.kind.toLowerCase()}/${owner.name}`;
  const limit = `--timeout=${Math.max(1, Math.ceil(limitMs / 1000))}s`;
  return {
    args: ["--namespace", owner.namespace, "rollout", "status", target, limit],
    limitMs: Math.max(0, limitMs) + WAIT_GRACE_MS,
  };
}

/** Uids of all pods of a namespace. @returns one sentence that says why not, if that fails */
export async function podUids(
  namespace: string,
  options: KubectlOptions,
): Promise<ReadonlySet<string> | string> {
  const jsonpath = '--output=jsonpath={range .items[*]}{.metadata.uid}{"\\n"}{end}';
  const call = { args: ["--namespace", namespace, "get", "pods", jsonpath] };
  const { code, stdout, stderr } = await answerOf(call, options);
  return code === 0 ? new Set(stdout.toString().split("\n")) : lastLine(stderr);
}

/** @returns one sentence that says why not, if Kubernetes refuses or does not answer */
export async function callRestart(call: KubectlCall, options: KubectlOptions): Promise<string | undefined> {
  const { code, stderr } = await answerOf(call, options);
  return code === 0 ? undefined : lastLine(stderr);
}

/** Whatever kubectl says; that it does not answer is as its own error. */
async function answerOf(call: KubectlCall, options: KubectlOptions): Promise<RunResult> {
  try {
    return await kubectl(call, options, ANY_CODE);
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind !== "failed") throw error;
    return { code: 1, stdout: Buffer.alloc(0), stderr: error.message };
  }
}

function lastLine(stderr: string): string {
  return (stderr.trim().split("\n").at(-1) ?? "").slice(0, 500) || "kubectl does not say why";
}

/** The node whose credentials are used; undefined if they are no node's, or the API server doesn't say. */
export async function ownNode(options: KubectlOptions): Promise<string | undefined> {
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  const path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
  const call = { args: ["create", "--raw", path, "--filename=-"], stdin: JSON.stringify(review) };
  const { code, stdout } = await kubectl(call, options, ANY_CODE);
  return code === 0 ? nodeOfReview(stdout.toString()) : undefined;
}

function nodeOfReview(json: string): string | undefined {
  try {
    const review: unknown = JSON.parse(json);
    const user = isFields(review) ? text(part(part(review, "status"), "userInfo"), "username") : undefined;
    return user === undefined ? undefined : nodeOfUser(user);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** kubelet writes the same object from time to time. */
const ATTEMPTS = 5;

/**
 * Writes the node's report: annotation and condition, in one request. A kubelet's own credentials suffice: they may read the Node and
 * update its status, but not read the status by itself, as `kubectl patch` does.
 * @throws AtomfsError "unsupported" without kubectl, "failed" if Kubernetes refuses
 */
export async function publishReport(
  node: string,
  report: NodeReport,
  counts: PodCounts,
  options: KubectlOptions,
): Promise<ConditionState> {
  const condition = conditionOf(report, counts);
  await changeNode(node, (json) => nodeWithReport(json, report, condition, Date.parse(report.at)), options);
  return condition;
}

/** Takes the node's annotation and condition away. @returns were they there? @throws as `publishReport` */
export function removeReport(node: string, options: KubectlOptions): Promise<boolean> {
  return changeNode(node, nodeWithoutReport, options);
}

/** @param change gives the Node as it shall be, or undefined if it is as it shall be. @returns was it changed? */
async function changeNode(
  node: string,
  change: (json: string) => object | undefined,
  options: KubectlOptions,
): Promise<boolean> {
  const path = `/api/v1/nodes/${encodeURIComponent(node)}`;
  for (let attempt = 1; ; attempt++) {
    const found = await kubectl({ args: ["get", "--raw", path] }, options, ANY_CODE);
    if (found.code !== 0) throw refused(`read node ${node}`, found.stderr);
    const next = change(found.stdout.toString());
    if (next === undefined) return false;
    const args = ["replace", "--raw", `${path}/status`, "--filename=-"];
    const { code, stderr } = await kubectl({ args, stdin: JSON.stringify(next) }, options, ANY_CODE);
    if (code === 0) return true;
    if (!stderr.includes("(Conflict)") || attempt === ATTEMPTS)
      throw refused(`write the status of node ${node}`, stderr);
  }
}

function refused(what: string, stderr: string): AtomfsError {
  return new AtomfsError("failed", `Cannot ${what}: ${stderr.trim().slice(-500)}`, {
    hints: ["--node says the node's name", "--kubeconfig with the node's own credentials, as kubelet's"],
  });
}

/**
 * Writes one event, new or known: the API server makes an event that it does not have (any more), and needs no version of
 * one that it has. So kubelet's credentials suffice, which may not read events.
 * @returns one sentence that says why not, if Kubernetes refuses
 * @throws AtomfsError "failed" if it does not answer
 */
export async function writeEvent(
  { namespace, name, event }: NonNullable<PlannedEvent["write"]>,
  options: KubectlOptions,
): Promise<string | undefined> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/events/${encodeURIComponent(name)}`;
  const args = ["replace", "--raw", path, "--filename=-"];
  const { code, stderr } = await kubectl({ args, stdin: JSON.stringify(event) }, options, ANY_CODE);
  return code === 0 ? undefined : lastLine(stderr);
}

function kubectl(
  { args, stdin, limitMs = LIMIT_MS }: KubectlCall,
  { kubeconfig, signal }: KubectlOptions,
  okCodes: readonly number[] = [0],
): Promise<RunResult> {
  const config = kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`];
  return run(["kubectl", ...config, ...args], {
    okCodes,
    limitMs,
    ...(signal === undefined ? {} : { signal }),
    ...(stdin === undefined ? {} : { stdin: new TextEncoder().encode(stdin) }),
  });
}
