/**
 * npm run test:k8s [-- PART... [--pods N] [--seed N]]: a real Kubernetes of two nodes on this machine; all parts if none is named.
 * The last line of stdout is `N passed, N failed, N skipped`.
 */

import { Story } from "../../scripts/demo/story.ts";
import { Cluster } from "../../scripts/k8s/cluster.ts";
import { ClusterStory } from "../../scripts/k8s/cluster-story.ts";
import { NODE_NAMES, REGISTRY } from "../../scripts/k8s/place.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { printSummary } from "../support/summary.ts";
import { crioAlone } from "./crio-alone.ts";
import { daemonSet } from "./daemonset.ts";
import { evictedPods } from "./evicted-pods.ts";
import { interruptedDemoLeaves, MOMENTS } from "./interrupted-demo.ts";
import { kubeletGc } from "./kubelet-gc.ts";
import { leftOvers } from "./left-overs.ts";
import { newNode } from "./new-node.ts";
import { nodesTell } from "./node-tells.ts";
import { type Options, PARTS, type Part, parseOptions } from "./options.ts";
import { podFeatures } from "./pod-features.ts";
import { pulledAlways } from "./pulled-always.ts";
import { pulledImages } from "./pulled-images.ts";
import { rebootedNode } from "./rebooted-node.ts";
import { restartedSets } from "./restarted-sets.ts";
import { Scene } from "./scene.ts";
import { storm } from "./storm.ts";
import { userNamespacePod } from "./user-namespace-pod.ts";

const counts = { passed: 0, failed: 0, skipped: 0 };
const failed: string[] = [];

function promised(isTrue: boolean, promise: string): void {
  counts[isTrue ? "passed" : "failed"] += 1;
  if (!isTrue) failed.push(promise);
  console.log(`${isTrue ? "ok" : "not ok"} ${promise}`);
}

function nothingLeft(when: string, found: readonly string[]): void {
  promised(found.length === 0, `${when} nothing is left${found.length === 0 ? "" : `: ${found.join(", ")}`}`);
}

async function main(words: readonly string[], signal: AbortSignal): Promise<void> {
  const options = parseOptions(words);
  const has = (part: Part): boolean => options.parts.includes(part);
  const story = new Story(false);
  if (has("interrupt")) {
    for (const moment of MOMENTS) {
      await story.step(`Ctrl-C in demo:k8s while ${moment}`, async () =>
        nothingLeft(`after Ctrl-C while ${moment}`, await interruptedDemoLeaves(moment, signal)),
      );
    }
  }
  if (options.parts.some((part) => part !== "interrupt" && part !== "crio")) {
    await onCluster(options, story, signal);
    nothingLeft("after the cluster's end", leftOvers());
  }
  if (has("crio")) {
    await story.step("A node's CRI-O alone", () => crioAlone(promised, story.say, signal));
    nothingLeft("after CRI-O's end", leftOvers());
  }
}

async function onCluster(options: Options, story: Story, signal: AbortSignal): Promise<void> {
  const has = (part: Part): boolean => options.parts.includes(part);
  await using cluster = await story.step("Control plane", () => Cluster.start(story.say, signal));
  for (const node of NODE_NAMES) await story.step(`Node ${node}`, () => cluster.addNode(node));
  const told = new ClusterStory(cluster, story, promised, signal);
  const vulnerable = await (has("story") ? told.run() : told.prepare());
  const scene = new Scene({ cluster, story, promised, signal, vulnerable });
  if (has("story")) {
    await nodesTell(cluster, promised);
    await daemonSet(cluster, promised, signal);
    await pulledAlways(cluster, promised);
    await userNamespacePod(cluster, `${REGISTRY}/demo/feed:1.0`, promised);
  }
  if (has("sets")) await story.step("StatefulSets and DaemonSets", () => restartedSets(scene));
  if (has("images")) {
    const unused = await story.step("Images by digest, and private ones", () => pulledImages(scene, "n2"));
    await story.step("kubelet removes images", () => kubeletGc(scene, "n2", unused));
  }
  if (has("joined")) await story.step("A node that joins after the fix", () => newNode(scene, "n2"));
  if (has("pods")) await story.step("What pods may ask for", () => podFeatures(scene, "n2"));
  if (has("evict")) await story.step("Pods are evicted", () => evictedPods(scene, "n2"));
  if (has("reboot")) await story.step("A node is rebooted", () => rebootedNode(scene, "n1"));
  if (has("storm")) await story.step("A storm", () => storm(scene, "n1", options));
}

const interruption = abortOnSignals();
try {
  await main(process.argv.slice(2), interruption);
} catch (error) {
  if (error instanceof AtomfsError && error.kind === "usage") {
    console.error(`error: ${error.message}. Parts:`);
    for (const [name, about] of Object.entries(PARTS)) console.error(`  ${name.padEnd(12)}${about}`);
    process.exit(error.exitCode);
  }
  console.log(error);
  promised(false, `the tests came to their end: ${error instanceof Error ? error.message : String(error)}`);
}
printSummary(counts, { skipped: [], failed: failed.map((name) => name.split("\n")[0] ?? name) });
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);
