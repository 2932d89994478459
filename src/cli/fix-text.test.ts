import { expect, test } from "bun:test";
import { nextSteps } from "./fix-text.ts";

const OF_PODMAN = { kubernetesPod: undefined };
const OF_POD = { kubernetesPod: { namespace: "shop", name: "web-1", uid: "u" } };

test("what runs says what is next: pods are Kubernetes' to restart, which only knows of reports", () => {
  const restart = "Next: atomfs restart --outdated";
  const cluster = expect.stringMatching(
    /^Next, for pods: atomfs report .* atomfs restart --outdated --cluster$/,
  );
  expect(nextSteps([])).toEqual([]);
  expect(nextSteps([OF_PODMAN])).toEqual([restart]);
  expect(nextSteps([OF_POD, OF_POD])).toEqual([cluster]);
  expect(nextSteps([OF_POD, OF_PODMAN])).toEqual([restart, cluster]);
});
