import type { Cluster } from "../../scripts/k8s/cluster.ts";
import { nodeEnv } from "../../scripts/k8s/node-files.ts";
import { kubeconfigOf } from "../../scripts/k8s/pki.ts";
import { inNetwork, type NodeName, nodeNetwork } from "../../scripts/k8s/place.ts";
import { run } from "../../src/sys/process.ts";

type Promised = (isTrue: boolean, promise: string) => void;
type Events = {
  readonly items: readonly {
    readonly type: string;
    readonly count: number;
    readonly message: string;
    readonly involvedObject: { readonly kind: string; readonly name: string; readonly uid: string };
    readonly source: { readonly host: string };
  }[];
};
type Node = {
  readonly status: {
    readonly conditions: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
    }[];
  };
};

/** After the story, in which both nodes reported their outdated pods with kubelet's own credentials, and these were restarted then. */
export async function nodesTell(cluster: Cluster, promised: Promised): Promise<void> {
  const { kubectl, nodes } = cluster;
  const { items } = await kubectl.json<Events>(["get", "events", "--field-selector=reason=AtomfsOutdated"]);
  promised(
    nodes.every((node) => items.some(({ source }) => source.host === node)) &&
      items.every((each) => each.type === "Warning" && each.involvedObject.kind === "Pod" && each.count > 0),
    `an outdated pod has an event that says so (${items.length} events)`,
  );
  const perPod = new Set(items.map(({ involvedObject }) => involvedObject.uid));
  promised(perPod.size === items.length, "no pod has two events for one thing");
  for (const node of nodes) {
    promised(
      (await conditionOf(cluster, node)) === "False PodsOutdated",
      `node ${node} says that pods were outdated at its last report`,
    );
    const answer = await report(cluster, node);
    promised(answer.outdated.length === 0, `node ${node} reports nothing outdated after the restart`);
    const now = await conditionOf(cluster, node);
    promised(now === "True PodsCurrent", `node ${node} says that its pods are current (${now})`);
  }
}

async function conditionOf({ kubectl }: Cluster, node: NodeName): Promise<string> {
  const { status } = await kubectl.json<Node>(["get", "node", node]);
  const found = status.conditions.find(({ type }) => type === "AtomfsPodsCurrent");
  return `${found?.status} ${found?.reason}`;
}

type Report = { readonly outdated: readonly object[]; readonly events: { readonly written: number } };

async function report({ programs, kubectl }: Cluster, node: NodeName): Promise<Report> {
  const options = ["--json", "--node", node, "--kubeconfig", kubeconfigOf(node)];
  const argv = inNetwork(nodeNetwork(node), [`${programs}/atomfs`, "report", ...options]);
  const { stdout } = await run(argv, { env: { ...process.env, ...nodeEnv(node, kubectl.path) } });
  return JSON.parse(stdout.toString()) as Report;
}
