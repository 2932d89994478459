import { describe, expect, test } from "bun:test";
import {
  CONDITION_TYPE,
  conditionOf,
  nodeWithoutReport,
  nodeWithReport,
  type PodCounts,
} from "./condition.ts";
import type { NodeReport } from "./report.ts";

const NOW = Date.parse("2026-11-24T01:00:00.500Z");
const REPORT: NodeReport = {
  at: "2026-11-24T01:00:00.500Z",
  fixes: { generation: 3, ids: ["a", "b"] },
  outdated: [],
};
const NONE: PodCounts = { current: 0, outdated: 0, shadowed: 0, unverified: 0, hindered: 0, notOurs: 0 };

test.each([
  [{ current: 2 }, "True", "PodsCurrent"],
  [{ notOurs: 4 }, "True", "PodsCurrent"],
  [{ current: 2, outdated: 1, unverified: 1 }, "False", "PodsOutdated"],
  [{ outdated: 1, shadowed: 1 }, "False", "PodsOutdated"],
  [{ shadowed: 1, unverified: 1 }, "False", "PodsShadowed"],
  [{ current: 2, unverified: 1 }, "Unknown", "PodsUnverified"],
] as const)("%p is %s, %s", (counts, status, reason) => {
  expect(conditionOf(REPORT, { ...NONE, ...counts })).toMatchObject({ status, reason });
});

test("the message says of how many containers nothing is said", () => {
  const { message } = conditionOf(REPORT, { ...NONE, current: 1, notOurs: 2 });
  expect(message).toBe(
    "1 container(s) on their image's current molecule, 2 of images that AtomFS does not have, of which nothing is known; 2 fix(es), generation 3",
  );
  const without = conditionOf(
    { ...REPORT, fixes: { generation: 0, ids: [] } },
    { ...NONE, current: 1, notOurs: 2 },
  );
  expect(without.message).toBe(
    "1 container(s) on their image's current molecule, 2 of images that AtomFS does not have; 0 fix(es), generation 0",
  );
});

test("and how many no restart helps", () => {
  const { message } = conditionOf(REPORT, { ...NONE, outdated: 2, shadowed: 1, hindered: 2 });
  expect(message).toBe(
    "0 container(s) on their image's current molecule, 2 on an older one, 1 with own copies of fixed files; a restart does not help 2 of them; 2 fix(es), generation 3",
  );
});

const state = conditionOf(REPORT, { ...NONE, current: 1 });
const nodeWith = (...conditions: readonly object[]): string =>
  JSON.stringify({
    kind: "Node",
    metadata: { name: "n1", resourceVersion: "7", annotations: { other: "stays" } },
    spec: { podCIDR: "10.0.0.0/24" },
    status: { conditions, nodeInfo: { machineID: "x" } },
  });
const READY = { type: "Ready", status: "True", lastTransitionTime: "2026-11-23T00:00:00Z" };
const SINCE = "2026-11-23T00:00:00Z";

test.each([
  ["a first report", nodeWith(READY), undefined],
  [
    "a change",
    nodeWith({ type: CONDITION_TYPE, status: "False", lastTransitionTime: SINCE }, READY),
    undefined,
  ],
  ["no change", nodeWith(READY, { type: CONDITION_TYPE, status: "True", lastTransitionTime: SINCE }), SINCE],
])("%s decides the time of transition, and all else of the Node stays", (_, node, since) => {
  const heartbeat = "2026-11-24T01:00:00Z";
  const own = {
    type: CONDITION_TYPE,
    status: "True",
    reason: "PodsCurrent",
    message: expect.any(String),
    lastHeartbeatTime: heartbeat,
    lastTransitionTime: since ?? heartbeat,
  };
  expect(nodeWithReport(node, REPORT, state, NOW)).toEqual({
    kind: "Node",
    metadata: {
      name: "n1",
      resourceVersion: "7",
      annotations: { other: "stays", "io.atomfs.report": JSON.stringify(REPORT) },
    },
    spec: { podCIDR: "10.0.0.0/24" },
    status: { conditions: [READY, own], nodeInfo: { machineID: "x" } },
  });
});

test.each(["-", "[]", '{"kind":"Status"}'])("what is no Node is refused: %s", (json) =>
  expect(() => nodeWithReport(json, REPORT, state, NOW)).toThrow("Cannot understand"),
);

describe("taking a report back", () => {
  test("leaves the Node as it was before the first one", () => {
    const reported = JSON.stringify(nodeWithReport(nodeWith(READY), REPORT, state, NOW));
    expect(nodeWithoutReport(reported)).toEqual(JSON.parse(nodeWith(READY)));
  });

  test.each([
    ["the condition", nodeWith(READY, { type: CONDITION_TYPE, status: "True" })],
    ["the annotation", nodeWith(READY).replace('"other":', '"io.atomfs.report":"x","other":')],
  ])("also if only %s is there", (_, node) =>
    expect(nodeWithoutReport(node)).toEqual(JSON.parse(nodeWith(READY))),
  );

  test("there is nothing to do if there is none", () => {
    expect(nodeWithoutReport(nodeWith(READY))).toBeUndefined();
    expect(nodeWithoutReport('{"kind":"Node","metadata":{"name":"n1"},"status":{}}')).toBeUndefined();
  });
});
