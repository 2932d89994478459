import { expect, test } from "bun:test";
import { restartCall, waitCall } from "./kubectl.ts";
import { type ClusterLists, type ClusterState, planRestarts } from "./owners.ts";
import { formatReport, type NodeReport, REPORT_ANNOTATION } from "./report.ts";

const AT = "2026-11-23T23:00:00.000Z";
const NOW = Date.parse(AT) + 60_000;
/** What is said of a node with a report of a minute ago. */
const FRESH = { reportedAt: AT, ageSeconds: 60, problems: [] };
const list = (...items: readonly object[]): string => JSON.stringify({ items });
const controlledBy = (kind: string, name: string): object => ({
  ownerReferences: [
    { kind: "Other", name: "not-it", uid: "other", controller: false },
    { kind, name, uid: `uid-${name}`, controller: true },
  ],
});
const pod = (name: string, node: string, more: object = {}): object => ({
  metadata: { namespace: "shop", name, uid: `uid-${name}`, ...more },
  spec: { nodeName: node },
});
const owner = (name: string, updateStrategy?: string, more: object = {}): object => ({
  metadata: { namespace: "shop", name, uid: `uid-${name}`, ...more },
  spec: { updateStrategy: { type: updateStrategy } },
});
const container = (name: string, hindrance?: string): NodeReport["outdated"][number] => ({
  namespace: "shop",
  pod: name,
  uid: `uid-${name}`,
  container: "c",
  root: "outdated",
  ...(hindrance === undefined ? {} : { hindrance }),
});
const said = (name: string, report: Partial<NodeReport>): object => {
  const text = formatReport({ at: AT, outdated: [], ...report });
  return { metadata: { name, annotations: { [REPORT_ANNOTATION]: text } } };
};
const node = (name: string, ...pods: readonly string[]): object =>
  said(name, { outdated: pods.map((each) => container(each)) });
const EMPTY: ClusterLists = {
  nodes: list(),
  pods: list(),
  replicasets: list(),
  statefulsets: list(),
  daemonsets: list(),
};

const plan = (lists: Partial<ClusterLists>): ClusterState => planRestarts({ ...EMPTY, ...lists }, NOW);

test("pods of one Deployment on two nodes are one rollout", () => {
  const state = plan({
    nodes: list(node("n1", "web-1"), node("n2", "web-2")),
    pods: list(
      pod("web-1", "n1", controlledBy("ReplicaSet", "web-5d")),
      pod("web-2", "n2", controlledBy("ReplicaSet", "web-5d")),
      pod("web-3", "n2", controlledBy("ReplicaSet", "web-5d")),
    ),
    replicasets: list(owner("web-5d", undefined, controlledBy("Deployment", "web"))),
  });
  expect(state).toEqual({
    nodes: [
      { name: "n1", ...FRESH, outdatedPods: 1 },
      { name: "n2", ...FRESH, outdatedPods: 1 },
    ],
    restarts: [
      {
        how: "rollout",
        owner: { kind: "Deployment", namespace: "shop", name: "web" },
        pods: ["web-1", "web-2"],
        roots: ["outdated"],
      },
    ],
  });
});

const decide = (own: object, more: Partial<ClusterLists> = {}): unknown =>
  plan({ nodes: list(node("n1", "p")), pods: list(pod("p", "n1", own)), ...more }).restarts[0];

test.each(["StatefulSet", "DaemonSet"])("a %s rolls out", (kind) => {
  expect(decide(controlledBy(kind, "db"))).toMatchObject({ how: "rollout", owner: { kind, name: "db" } });
});

test("pods that only a deletion makes anew are evicted", () => {
  const more = { statefulsets: list(owner("db", "OnDelete")) };
  expect(decide(controlledBy("StatefulSet", "db"), more)).toMatchObject({ how: "evict", pods: ["p"] });
});

test.each(["Job", "ReplicaSet", "Database"])("a pod of a %s is evicted", (kind) => {
  expect(decide(controlledBy(kind, "x"))).toMatchObject({ how: "evict", owner: { kind }, pods: ["p"] });
});

test("a pod that nobody would make anew is left, and so is a static one", () => {
  expect(decide({})).toMatchObject({ how: "blocked", why: expect.stringContaining("no controller") });
  expect(decide(controlledBy("Node", "n1"))).toMatchObject({
    how: "blocked",
    why: expect.stringContaining("static"),
  });
});

test("a static pod's report names it by kubelet's uid, which its mirror in the API server has as annotation", () => {
  const mirror = pod("etcd-n1", "n1", {
    ...controlledBy("Node", "n1"),
    annotations: { "kubernetes.io/config.mirror": "uid-static" },
  });
  const outdated = [
    { namespace: "shop", pod: "etcd-n1", uid: "uid-static", container: "c", root: "outdated" as const },
  ];
  const annotations = { [REPORT_ANNOTATION]: formatReport({ at: AT, outdated }) };
  const state = plan({
    nodes: list({ metadata: { name: "n1", annotations } }),
    pods: list(mirror),
  });
  expect(state.restarts).toMatchObject([{ how: "blocked", pods: ["etcd-n1"] }]);
});

test("a node speaks only for its own pods, and for those that are still there", () => {
  const state = plan({
    nodes: list(node("n1", "foreign", "gone", "ending")),
    pods: list(pod("foreign", "n2"), pod("ending", "n1", { deletionTimestamp: AT })),
  });
  expect(state).toEqual({ nodes: [{ name: "n1", ...FRESH, outdatedPods: 0 }], restarts: [] });
});

test("a node without a report is said to have none", () => {
  const nodes = list({ metadata: { name: "n1" } });
  expect(plan({ nodes }).nodes).toMatchObject([
    { name: "n1", reportedAt: undefined, outdatedPods: 0, problems: [{ problem: "no-report" }] },
  ]);
});

const WEB: Partial<ClusterLists> = {
  pods: list(
    pod("web-1", "n1", controlledBy("ReplicaSet", "web-5d")),
    pod("web-2", "n2", controlledBy("ReplicaSet", "web-5d")),
    pod("web-3", "n2", controlledBy("ReplicaSet", "web-5d")),
  ),
  replicasets: list(owner("web-5d", undefined, controlledBy("Deployment", "web"))),
};
const OWNER = { kind: "Deployment", namespace: "shop", name: "web" };

test("pods that no restart helps are named with the reason, and their owner is not restarted for them", () => {
  const outdated = [container("web-2", "runtime"), container("web-3", "runtime")];
  const { nodes, restarts } = plan({ ...WEB, nodes: list(said("n2", { outdated })) });
  expect(nodes).toMatchObject([{ outdatedPods: 2 }]);
  expect(restarts).toEqual([
    {
      how: "blocked",
      owner: OWNER,
      pods: ["web-2", "web-3"],
      roots: ["outdated"],
      why: expect.stringContaining("its runtime is not crio-lxc"),
    },
  ]);
});

test("an owner is restarted for the pods that it helps; of the others it is said why not", () => {
  const n2 = said("n2", { outdated: [container("web-2", "policy-warn"), container("web-3", "policy-warn")] });
  const { restarts } = plan({ ...WEB, nodes: list(node("n1", "web-1"), n2) });
  expect(restarts).toMatchObject([
    { how: "rollout", owner: OWNER, pods: ["web-1"] },
    { how: "blocked", owner: OWNER, pods: ["web-2", "web-3"], why: expect.stringContaining("outdated = ") },
  ]);
});

test("so is a pod of which only one container can be helped", () => {
  const outdated = [container("web-1", "volume"), { ...container("web-1"), container: "side" }];
  const { nodes, restarts } = plan({ ...WEB, nodes: list(said("n1", { outdated })) });
  expect(nodes).toMatchObject([{ outdatedPods: 1 }]);
  expect(restarts.map(({ how }) => how)).toEqual(["rollout", "blocked"]);
});

test("a shadowed container is cured by a new one", () => {
  const { root: _, ...shadowed } = container("web-2");
  const nodes = list(node("n1", "web-1"), said("n2", { shadowed: [shadowed] }));
  expect(plan({ ...WEB, nodes }).restarts).toMatchObject([
    { how: "rollout", pods: ["web-1", "web-2"], roots: ["outdated", "shadowed"] },
  ]);
});

test("a reason that only a newer version knows is a reason, too", () => {
  const { restarts } = plan({
    ...WEB,
    nodes: list(said("n1", { outdated: [container("web-1", "moon\u001b[31m")] })),
  });
  expect(restarts).toMatchObject([{ how: "blocked", why: expect.stringContaining('("moon?[31m")') }]);
});

test.each([
  ...["", "[]", "{}", `{"at":"${AT}","outdated":[{}]}`, '{"at":"soon","outdated":[]}'],
  ...[
    `{"at":"${AT}","outdated":[],"fixes":{"generation":-1,"ids":[]}}`,
    `{"at":"${AT}","outdated":[],"fixes":[]}`,
    `{"at":"${AT}","outdated":[],"shadowed":[{}]}`,
  ],
])("a forged report is its node's problem, and the other nodes' are read: %s", (text) => {
  const forged = { metadata: { name: "n2", annotations: { [REPORT_ANNOTATION]: text || "-" } } };
  const { nodes, restarts } = plan({ ...WEB, nodes: list(forged, node("n1", "web-1")) });
  expect(nodes).toMatchObject([
    {
      name: "n2",
      reportedAt: undefined,
      problems: [{ problem: "bad-report", text: expect.stringContaining("annotation io.atomfs.report") }],
    },
    { name: "n1", outdatedPods: 1, problems: [] },
  ]);
  expect(restarts).toHaveLength(1);
});

test("what Kubernetes is asked", () => {
  const of = { kind: "DaemonSet", namespace: "shop", name: "agent" };
  expect(restartCall({ how: "rollout", owner: of, pods: ["a"], roots: [] }).args).toEqual([
    ...["--namespace", "shop", "rollout", "restart", "daemonset/agent"],
  ]);
  expect(waitCall({ owner: of }, 90_500).args).toEqual([
    ...["--namespace", "shop", "rollout", "status", "daemonset/agent", "--timeout=91s"],
  ]);
  const evicted = restartCall({
    how: "evict",
    owner: { ...of, kind: "Job" },
    pods: ["a"],
    uid: "uid-a",
    roots: [],
  });
  expect(evicted.args).toEqual([
    ...["create", "--raw", "/api/v1/namespaces/shop/pods/a/eviction", "--filename=-"],
  ]);
  expect(JSON.parse(evicted.stdin ?? "")).toEqual({
    apiVersion: "policy/v1",
    kind: "Eviction",
    metadata: { namespace: "shop", name: "a" },
    deleteOptions: { preconditions: { uid: "uid-a" } },
  });
});
