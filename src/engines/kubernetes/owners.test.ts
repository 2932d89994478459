import { expect, test } from "bun:test";
import { restartCall, waitCall } from "./kubectl.ts";
import { type ClusterLists, planRestarts } from "./owners.ts";
import { formatReport, REPORT_ANNOTATION } from "./report.ts";

const AT = "2026-11-23T23:00:00.000Z";
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
const node = (name: string, ...pods: readonly string[]): object => {
  const outdated = pods.map((each) => ({
    namespace: "shop",
    pod: each,
    uid: `uid-${each}`,
    container: "c",
    root: "outdated" as const,
  }));
  return { metadata: { name, annotations: { [REPORT_ANNOTATION]: formatReport({ at: AT, outdated }) } } };
};
const EMPTY: ClusterLists = {
  nodes: list(),
  pods: list(),
  replicasets: list(),
  statefulsets: list(),
  daemonsets: list(),
};

test("pods of one Deployment on two nodes are one rollout", () => {
  const state = planRestarts({
    ...EMPTY,
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
      { name: "n1", reportedAt: AT, outdatedPods: 1 },
      { name: "n2", reportedAt: AT, outdatedPods: 1 },
    ],
    restarts: [
      {
        how: "rollout",
        owner: { kind: "Deployment", namespace: "shop", name: "web" },
        pods: ["web-1", "web-2"],
      },
    ],
  });
});

const decide = (own: object, more: Partial<ClusterLists> = {}): unknown =>
  planRestarts({ ...EMPTY, nodes: list(node("n1", "p")), pods: list(pod("p", "n1", own)), ...more })
    .restarts[0];

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
  const state = planRestarts({
    ...EMPTY,
    nodes: list({ metadata: { name: "n1", annotations } }),
    pods: list(mirror),
  });
  expect(state.restarts).toMatchObject([{ how: "blocked", pods: ["etcd-n1"] }]);
});

test("a node speaks only for its own pods, and for those that are still there", () => {
  const state = planRestarts({
    ...EMPTY,
    nodes: list(node("n1", "foreign", "gone", "ending")),
    pods: list(pod("foreign", "n2"), pod("ending", "n1", { deletionTimestamp: AT })),
  });
  expect(state).toEqual({ nodes: [{ name: "n1", reportedAt: AT, outdatedPods: 0 }], restarts: [] });
});

test("a node without a report is said to have none", () => {
  const nodes = list({ metadata: { name: "n1" } });
  expect(planRestarts({ ...EMPTY, nodes }).nodes).toEqual([
    { name: "n1", reportedAt: undefined, outdatedPods: 0 },
  ]);
});

test.each([
  ...["", "[]", "{}", `{"at":"${AT}","outdated":[{}]}`, '{"at":"soon","outdated":[]}'],
  ...[
    `{"at":"${AT}","outdated":[],"fixes":{"generation":-1,"ids":[]}}`,
    `{"at":"${AT}","outdated":[],"fixes":[]}`,
  ],
])("a forged report is refused: %s", (text) => {
  const nodes = list({ metadata: { name: "n1", annotations: { [REPORT_ANNOTATION]: text || "-" } } });
  expect(() => planRestarts({ ...EMPTY, nodes })).toThrow(/annotation io.atomfs.report of node n1/);
});

test("what Kubernetes is asked", () => {
  const of = { kind: "DaemonSet", namespace: "shop", name: "agent" };
  expect(restartCall({ how: "rollout", owner: of, pods: ["a"] }).args).toEqual([
    ...["--namespace", "shop", "rollout", "restart", "daemonset/agent"],
  ]);
  expect(waitCall({ how: "rollout", owner: of, pods: ["a"] }, 90_500).args).toEqual([
    ...["--namespace", "shop", "rollout", "status", "daemonset/agent", "--timeout=91s"],
  ]);
  const evicted = restartCall({ how: "evict", owner: { ...of, kind: "Job" }, pods: ["a"] });
  expect(evicted.args).toEqual([
    ...["create", "--raw", "/api/v1/namespaces/shop/pods/a/eviction", "--filename=-"],
  ]);
  expect(JSON.parse(evicted.stdin ?? "")).toEqual({
    apiVersion: "policy/v1",
    kind: "Eviction",
    metadata: { namespace: "shop", name: "a" },
  });
});
