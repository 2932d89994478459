/**
 * npm run test:k8s: the story of demo:k8s as assertions, on a real Kubernetes of two nodes on this machine.
 * The last line of stdout is `N passed, N failed, N skipped`.
 */

import { Story } from "../../scripts/demo/story.ts";
import { Cluster } from "../../scripts/k8s/cluster.ts";
import { ClusterStory } from "../../scripts/k8s/cluster-story.ts";
import { NODE_NAMES, REGISTRY } from "../../scripts/k8s/place.ts";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { crioAlone } from "./crio-alone.ts";
import { interruptedStartLeaves } from "./interrupted-start.ts";
import { leftOvers } from "./left-overs.ts";
import { nodesTell } from "./node-tells.ts";
import { userNamespacePod } from "./user-namespace-pod.ts";

const counts = { passed: 0, failed: 0, skipped: 0 };

function promised(isTrue: boolean, promise: string): void {
  counts[isTrue ? "passed" : "failed"] += 1;
  console.log(`${isTrue ? "ok" : "not ok"} ${promise}`);
}

function nothingLeft(when: string, found: readonly string[]): void {
  promised(found.length === 0, `${when} nothing is left${found.length === 0 ? "" : `: ${found.join(", ")}`}`);
}

async function main(signal: AbortSignal): Promise<void> {
  const story = new Story(false);
  await story.step("Ctrl-C while a cluster starts", async () =>
    nothingLeft("after Ctrl-C", await interruptedStartLeaves(signal)),
  );
  {
    await using cluster = await story.step("Control plane", () => Cluster.start(story.say, signal));
    for (const node of NODE_NAMES) await story.step(`Node ${node}`, () => cluster.addNode(node));
    await new ClusterStory(cluster, story, promised, signal).run();
    await nodesTell(cluster, promised);
    await pulledAlways(cluster);
    await userNamespacePod(cluster, `${REGISTRY}/demo/feed:1.0`, promised);
  }
  nothingLeft("after the cluster's end", leftOvers());
  await story.step("A node's CRI-O alone", () => crioAlone(promised, story.say, signal));
  nothingLeft("after CRI-O's end", leftOvers());
}

/** Each pod of the Deployment that says Always asked the registry, and got the image that the fix applies to. */
async function pulledAlways({ kubectl }: Cluster): Promise<void> {
  type Events = {
    readonly items: readonly {
      readonly message: string;
      readonly involvedObject: { readonly name: string };
    }[];
  };
  const { items } = await kubectl.json<Events>(["get", "events", "--field-selector=reason=Pulled"]);
  const pods = await kubectl.run(["get", "pods", "--selector=app=shop", "--output=name"]);
  const names = pods
    .trim()
    .split("\n")
    .map((line) => line.replace("pod/", ""));
  const pulled = (name: string): boolean =>
    items.some(
      (event) => event.involvedObject.name === name && event.message.startsWith("Successfully pulled image"),
    );
  promised(
    names.length === 2 && names.every(pulled),
    "imagePullPolicy Always: the fixed pods' image was pulled for each of them",
  );
}

const interruption = abortOnSignals();
try {
  await main(interruption);
} catch (error) {
  console.log(error);
  promised(false, `the story came to its end: ${error instanceof Error ? error.message : String(error)}`);
}
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);
