import { expect, test } from "bun:test";
import {
  digestOf,
  fixRule,
  generation,
  imageRecord,
  moleculeOf,
} from "../../tests/support/temporary-store.ts";
import { replay } from "../store/state.ts";
import type { Row } from "./container-rows.ts";
import { observe } from "./pod-observations.ts";
import { outdatedOf, shadowedOf } from "./report.ts";

const IMAGE = digestOf("a");
const FIX = "0123456789ab";
const STATE = replay([
  {
    sequence: 1,
    previous: "",
    time: "2026-01-02T03:04:05.000Z",
    command: "test",
    operations: [
      { op: "image-added", image: imageRecord(IMAGE) },
      { op: "fix-added", fix: fixRule(FIX) },
      { op: "generation", generation: generation(IMAGE, 1, moleculeOf("2"), [FIX]) },
    ],
  },
]);

function row(more: Partial<Row>): Row {
  return {
    engine: "cri",
    id: digestOf("c"),
    name: "shop/web-1/c",
    imageId: IMAGE,
    imageName: "web:1.0",
    state: "running",
    pid: 7,
    startedAt: undefined,
    restartPolicy: "kubelet",
    removedAtStop: false,
    pod: undefined,
    isInfra: false,
    systemdUnit: undefined,
    kubernetesPod: { namespace: "shop", name: "web-1", uid: "u" },
    runtimeHandler: "",
    root: "outdated",
    molecule: moleculeOf("1"),
    findings: [],
    atCreate: undefined,
    hindrance: undefined,
    ...more,
  };
}
const messageOf = (more: Partial<Row>): string => observe(STATE, [row(more)])[0]?.message ?? "";
const CURE = "restart its owner: atomfs restart --outdated --cluster";

test("an event says what helps", () => {
  expect(messageOf({})).toEndWith(`(demo 2); ${CURE}`);
  const shadowed = messageOf({ root: "shadowed", findings: ["it has its own /usr/lib/x".padEnd(3000, "x")] });
  expect(shadowed.slice(0, 300)).toContain(CURE);
});

test("and never to restart what a restart does not help", () => {
  for (const root of ["outdated", "shadowed", "unknown"] as const) {
    const message = messageOf({ root, hindrance: "runtime" });
    expect(message).toContain("a restart does not help: its runtime is not crio-lxc");
    expect(message).toContain("set runtimeClassName");
    expect(message).not.toContain("atomfs restart");
  }
});

test("the reason travels in the report, and shadowed containers apart from the outdated ones", () => {
  const container = { namespace: "shop", pod: "web-1", uid: "u", container: "c" };
  const rows = [
    row({ hindrance: "policy-warn" }),
    row({ root: "shadowed" }),
    row({ root: "current" }),
    row({ root: "unknown", kubernetesPod: undefined }),
  ];
  expect(outdatedOf(rows)).toEqual([{ ...container, root: "outdated", hindrance: "policy-warn" }]);
  expect(shadowedOf(rows)).toEqual([container]);
});

test("of an image that AtomFS does not have no event says anything: hundreds of pods may be so, and rightly", () => {
  expect(observe(STATE, [row({ root: "not-ours" })])).toEqual([]);
});
