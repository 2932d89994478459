/**
 * npm run demo:k8s: the demo's story on a real Kubernetes of two nodes, which is made for it and gone afterwards, also after
 * Ctrl-C. A promise that isn't kept ends it with an error.
 */
import { AtomfsError, EXIT_CODES } from "../../src/core/errors.ts";
import { abortOnSignals } from "../../src/sys/interruption.ts";
import { must } from "../demo/commands.ts";
import { Story } from "../demo/story.ts";
import { Cluster } from "./cluster.ts";
import { ClusterStory } from "./cluster-story.ts";
import { NODE_NAMES } from "./place.ts";

async function main(signal: AbortSignal): Promise<void> {
  const story = new Story(false);
  const start = performance.now();
  await using cluster = await story.step(
    "A real Kubernetes on this machine (its programs are built once)",
    () => Cluster.start(story.say, signal),
  );
  await story.step("Two nodes: kubelet, CRI-O, crio-lxc, each in a network of its own", async () => {
    for (const node of NODE_NAMES) await cluster.addNode(node);
    story.say(await cluster.kubectl.run(["get", "nodes"]));
  });
  await new ClusterStory(cluster, story, must, signal).run();
  const minutes = (performance.now() - start) / 60_000;
  story.write(`\nAll of it in ${minutes.toFixed(1)} minutes; the cluster is being removed.`);
}

const interruption = abortOnSignals();
try {
  await main(interruption);
} catch (error) {
  // A clean-up that failed matters more than why it began.
  const hidden = interruption.aborted && !(error instanceof SuppressedError);
  const shown: unknown = hidden ? interruption.reason : error;
  process.stderr.write(`demo:k8s: ${shown instanceof Error ? shown.message : String(shown)}\n`);
  process.exitCode = shown instanceof AtomfsError ? shown.exitCode : EXIT_CODES.failed;
}
