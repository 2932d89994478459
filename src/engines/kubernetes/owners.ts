import { AtomfsError } from "../../core/errors.ts";
import { type Fields, isFields, part, text } from "../json-fields.ts";
import { hindranceText } from "./hindrances.ts";
import { type NodeProblem, readStatements } from "./node-statements.ts";
import type { NodeReport, ReportedContainer } from "./report.ts";

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

/** What the containers are that make a pod be listed, each once. */
export type ReportedRoots = readonly ("outdated" | "shadowed" | "unknown")[];

/** How Kubernetes is asked for new pods. */
export type Restart = { readonly owner: PodOwner; readonly roots: ReportedRoots } & (
  | { readonly how: "rollout"; readonly pods: readonly string[] }
  /** The API server refuses it if a PodDisruptionBudget does. */
  | { readonly how: "evict"; readonly pods: readonly [string]; readonly uid: string }
  | { readonly how: "blocked"; readonly pods: readonly string[]; readonly why: string }
);

export type ClusterState = {
  readonly nodes: readonly {
    readonly name: string;
    /** RFC 3339; undefined without a report, and for one that cannot be read. */
    readonly reportedAt: string | undefined;
    readonly ageSeconds: number | undefined;
    /** Pods of the report that still exist. */
    readonly outdatedPods: number;
    readonly problems: readonly NodeProblem[];
  }[];
  readonly restarts: readonly Restart[];
};

const ROLLED_OUT: ReadonlySet<string> = new Set(["Deployment", "StatefulSet", "DaemonSet"]);

/**
 * What a restart would cure is restarted; of the rest it is said why not.
 * @param now milliseconds since 1970
 * @throws AtomfsError "failed" for what kubectl never says
 */
export function planRestarts(lists: ClusterLists, now: number): ClusterState {
  const statements = readStatements(itemsOf(lists.nodes, "nodes"), now);
  const pods = new Map(itemsOf(lists.pods, "pods").map((pod) => [kubeletsUidOf(pod), pod] as const));
  const owners = new Owners(lists);
  const restarts = new Restarts();
  const nodes = statements.map(({ name, report, ageSeconds, problems }) => {
    const byPod = Map.groupBy(containersOf(report), ({ uid }) => uid);
    // A node speaks for its own pods only, whatever it writes.
    const own = [...byPod].flatMap(([uid, containers]) => {
      const pod = pods.get(uid);
      const isOwn = pod !== undefined && text(part(pod, "spec"), "nodeName") === name;
      return isOwn && part(pod, "metadata")["deletionTimestamp"] === undefined ? [{ pod, containers }] : [];
    });
    for (const { pod, containers } of own) {
      const curable = containers.filter(({ hindrance }) => hindrance === undefined);
      const next = owners.restartOf(pod);
      if (curable.length > 0) restarts.add({ ...next, roots: rootsOf(curable) });
      const others = Map.groupBy(containers, ({ hindrance }) => hindrance);
      for (const [word, some] of others) {
        if (word === undefined) continue;
        const why = hindranceText(word);
        restarts.add({
          how: "blocked",
          owner: next.owner,
          pods: [nameOf(pod)],
          roots: rootsOf(some),
          why,
        });
      }
    }
    return { name, reportedAt: report?.at, ageSeconds, outdatedPods: own.length, problems };
  });
  return { nodes, restarts: restarts.all() };
}

type Listed = Pick<ReportedContainer, "uid" | "hindrance"> & { readonly root: ReportedRoots[number] };

function containersOf(report: NodeReport | undefined): readonly Listed[] {
  const shadowed = (report?.shadowed ?? []).map((each) => ({ ...each, root: "shadowed" as const }));
  return [...(report?.outdated ?? []), ...shadowed];
}

function rootsOf(containers: readonly Listed[]): ReportedRoots {
  return [...new Set(containers.map(({ root }) => root))].sort();
}

/** Pods of one owner are one line, if the same is to be done with them. */
class Restarts {
  readonly #known = new Map<string, Restart>();

  add(next: Restart): void {
    const { kind, namespace, name } = next.owner;
    const own = next.how === "evict" ? next.uid : next.how === "blocked" ? next.why : "";
    const key = JSON.stringify([next.how, kind, namespace, name, own]);
    const known = this.#known.get(key);
    if (known === undefined || known.how === "evict") this.#known.set(key, next);
    else {
      const roots = [...new Set([...known.roots, ...next.roots])].sort();
      this.#known.set(key, { ...known, roots, pods: [...known.pods, ...next.pods] });
    }
  }

  all(): readonly Restart[] {
    return [...this.#known.values()];
  }
}

/** A restart without the containers that it is for. */
type Decided = Restart extends infer R ? (R extends unknown ? Omit<R, "roots"> : never) : never;

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

  restartOf(pod: Fields): Decided {
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
      : { how: "evict", owner, pods: [name], uid: uidOf(pod) };
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
