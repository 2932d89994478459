import { AtomfsError } from "../../core/errors.ts";
import { type Fields, isFields, part, text } from "../json-fields.ts";
import { type NodeReport, parseReport, REPORT_ANNOTATION } from "./report.ts";

/*
 * Which owners of pods are to be restarted, from what the nodes report and what the API server knows. Pure: lists of
 * objects in, decisions out.
 */

/** The answers of `kubectl get --output=json`. */
export type ClusterLists = Readonly<
  Record<"nodes" | "pods" | "replicasets" | "statefulsets" | "daemonsets", string>
>;

export type PodOwner = {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
};

/** How Kubernetes is asked for new pods. */
export type Restart =
  | { readonly how: "rollout"; readonly owner: PodOwner; readonly pods: readonly string[] }
  /** The API server refuses it if a PodDisruptionBudget does. */
  | { readonly how: "evict"; readonly owner: PodOwner; readonly pods: readonly [string] }
  | {
      readonly how: "blocked";
      readonly owner: PodOwner;
      readonly pods: readonly [string];
      readonly why: string;
    };

export type ClusterState = {
  readonly nodes: readonly {
    readonly name: string;
    /** RFC 3339; undefined if the node has no report. */
    readonly reportedAt: string | undefined;
    /** Pods of the report that still exist. */
    readonly outdatedPods: number;
  }[];
  readonly restarts: readonly Restart[];
};

const ROLLED_OUT: ReadonlySet<string> = new Set(["Deployment", "StatefulSet", "DaemonSet"]);

/** @throws AtomfsError "bad-data" for a report that is none, "failed" for what kubectl never says */
export function planRestarts(lists: ClusterLists): ClusterState {
  const reports = new Map<string, NodeReport | undefined>();
  for (const node of itemsOf(lists.nodes, "nodes")) {
    const name = nameOf(node);
    const annotation = text(part(part(node, "metadata"), "annotations"), REPORT_ANNOTATION);
    reports.set(name, annotation === undefined ? undefined : parseReport(name, annotation));
  }
  const pods = new Map(itemsOf(lists.pods, "pods").map((pod) => [kubeletsUidOf(pod), pod] as const));
  const owners = new Owners(lists);
  const restarts = new Map<string, Restart>();
  const nodes = [...reports].map(([name, report]) => {
    const uids = new Set((report?.outdated ?? []).map(({ uid }) => uid));
    // A node speaks for its own pods only, whatever it writes.
    const outdated = [...uids].flatMap((uid) => {
      const pod = pods.get(uid);
      const isOwn = pod !== undefined && text(part(pod, "spec"), "nodeName") === name;
      return isOwn && part(pod, "metadata")["deletionTimestamp"] === undefined ? [pod] : [];
    });
    for (const pod of outdated) {
      const next = owners.restartOf(pod);
      const { kind, namespace, name: owner } = next.owner;
      const key = next.how === "rollout" ? `${kind}/${namespace}/${owner}` : uidOf(pod);
      const known = restarts.get(key);
      restarts.set(key, known?.how === "rollout" ? { ...known, pods: [...known.pods, nameOf(pod)] } : next);
    }
    return { name, reportedAt: report?.at, outdatedPods: outdated.length };
  });
  return { nodes, restarts: [...restarts.values()] };
}

class Owners {
  readonly #replicaSets: ReadonlyMap<string, Fields>;
  /** Whose pods are made anew only when they are deleted. */
  readonly #onDelete: ReadonlySet<string>;

  constructor(lists: ClusterLists) {
    const sets = itemsOf(lists.replicasets, "replicasets");
    this.#replicaSets = new Map(sets.map((each) => [uidOf(each), each] as const));
    const updated = [
      ...itemsOf(lists.statefulsets, "statefulsets"),
      ...itemsOf(lists.daemonsets, "daemonsets"),
    ];
    this.#onDelete = new Set(
      updated
        .filter((each) => text(part(part(each, "spec"), "updateStrategy"), "type") === "OnDelete")
        .map(uidOf),
    );
  }

  restartOf(pod: Fields): Restart {
    const namespace = text(part(pod, "metadata"), "namespace") ?? "default";
    const name = nameOf(pod);
    const direct = controllerOf(pod);
    if (direct === undefined) {
      const why = "no controller would make it anew: delete and apply it yourself";
      return { how: "blocked", owner: { kind: "Pod", namespace, name }, pods: [name], why };
    }
    if (direct.kind === "Node") {
      const why = "a static pod of its node: kubelet makes it anew when its file there changes";
      return { how: "blocked", owner: { kind: "Node", namespace, name: direct.name }, pods: [name], why };
    }
    const set = direct.kind === "ReplicaSet" ? this.#replicaSets.get(direct.uid) : undefined;
    const { uid, ...controller } = (set === undefined ? undefined : controllerOf(set)) ?? direct;
    const owner: PodOwner = { kind: controller.kind, namespace, name: controller.name };
    return ROLLED_OUT.has(owner.kind) && !this.#onDelete.has(uid)
      ? { how: "rollout", owner, pods: [name] }
      : { how: "evict", owner, pods: [name] };
  }
}

function controllerOf(
  object: Fields,
): { readonly kind: string; readonly name: string; readonly uid: string } | undefined {
  const references = part(object, "metadata")["ownerReferences"];
  const found: unknown = Array.isArray(references)
    ? references.find((each: unknown) => isFields(each) && each["controller"] === true)
    : undefined;
  if (!isFields(found)) return undefined;
  const [kind, name, uid] = [text(found, "kind"), text(found, "name"), text(found, "uid")];
  return kind === undefined || name === undefined || uid === undefined ? undefined : { kind, name, uid };
}

function itemsOf(json: string, what: string): readonly Fields[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new AtomfsError("failed", `Cannot understand what kubectl says of ${what}: it is no JSON`, {
      cause,
    });
  }
  const items = isFields(value) ? value["items"] : undefined;
  if (!Array.isArray(items) || !items.every(isFields))
    throw new AtomfsError("failed", `Cannot understand what kubectl says of ${what}: it is no list`);
  return items;
}

function nameOf(object: Fields): string {
  return text(part(object, "metadata"), "name") ?? "";
}

/** A static pod has another uid on its node than the API server's mirror of it (k8s.io/kubelet, pkg/types/pod_update.go). */
function kubeletsUidOf(pod: Fields): string {
  return text(part(part(pod, "metadata"), "annotations"), "kubernetes.io/config.mirror") ?? uidOf(pod);
}

function uidOf(object: Fields): string {
  return text(part(object, "metadata"), "uid") ?? "";
}
