import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SUITE } from "../../scripts/demo/debian-tree.ts";
import { VULNERABLE_PACKAGE } from "../../scripts/demo/images.ts";
import { type NodeName, nodeDirectory, REGISTRY, storeOf } from "../../scripts/k8s/place.ts";
import { isFixed, type LonePod, startPod } from "./lone-pod.ts";
import type { Scene } from "./scene.ts";

/**
 * A node that joins after the fix: its store has nothing, the fix is put there for the release before any image is. The node's own store
 * stands aside meanwhile; containers that run need it no more.
 */
export async function newNode(scene: Scene, node: NodeName): Promise<void> {
  const store = storeOf(node);
  const aside = `${store}-aside`;
  const policy = join(nodeDirectory(node), "atomfs.toml");
  const pod: LonePod = { name: "first-here", image: `${REGISTRY}/demo/feed:1.0`, node };
  await rename(store, aside);
  try {
    await mkdir(store, { mode: 0o700 });
    await scene.atomfs(node, ["fix", VULNERABLE_PACKAGE, "--release", SUITE, "--yes"]);
    await writeFile(policy, '[at-create]\nunknown = "import"\non-error = "refuse"\n');
    await startPod(scene, pod);
    scene.promised(await isFixed(scene, pod), "the first pod of a node that joined after the fix has it");
    await scene.cluster.kubectl.run(["delete", `pod/${pod.name}`]);
  } finally {
    await rm(policy, { force: true });
    await rm(store, { recursive: true, force: true });
    await rename(aside, store);
  }
}
