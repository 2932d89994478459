import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { VULNERABLE_VERSION } from "../../scripts/demo/images.ts";
import { digestOf, type Login, pushImage, startRegistry } from "../../scripts/k8s/control-plane.ts";
import { type NodeName, nodeDirectory, PRIVATE_REGISTRY, REGISTRY } from "../../scripts/k8s/place.ts";
import { feedVariants } from "./image-variants.ts";
import { applyPod, foundPod, isFixed, type LonePod, rootOf, startPod, versionIn } from "./lone-pod.ts";
import type { Scene } from "./scene.ts";

const SECONDS = 240;
const LOGIN: Login = { user: "somebody", password: "secret-word" };
const SECRET = "private-registry";

/** Images that pods name by their digest, and those that a registry gives to some only. @returns the private images' names */
export async function pulledImages(scene: Scene, node: NodeName): Promise<readonly string[]> {
  const { kubectl } = scene.cluster;
  const known = await digestOf(`${REGISTRY}/demo/feed:1.0`, scene.signal);
  const byDigest: LonePod = { name: "by-digest", image: `${REGISTRY}/demo/feed@${known}`, node };
  await startPod(scene, byDigest);
  scene.promised(await isFixed(scene, byDigest), "a pod that names its image by digest has the fix");
  await startRegistry(scene.signal, LOGIN);
  const variants = await feedVariants(scene, ["first", "second"]);
  const push = (tag: "first" | "second"): Promise<string> =>
    pushImage(variants.get(tag) ?? "", `private/feed:${tag}`, scene.signal, LOGIN);
  const first = await push("first");
  const digest = await digestOf(await push("second"), scene.signal, LOGIN);
  const second = `${PRIVATE_REGISTRY}/private/feed@${digest}`;
  await kubectl.run([
    ...["create", "secret", "docker-registry", SECRET, `--docker-server=${PRIVATE_REGISTRY}`],
    ...[`--docker-username=${LOGIN.user}`, `--docker-password=${LOGIN.password}`],
  ]);
  const policy = join(nodeDirectory(node), "atomfs.toml");
  await writeFile(policy, '[at-create]\nunknown = "import"\n');
  const without: LonePod = { name: "without-secret", image: first, node };
  await isNotPulled(scene, without);
  const withSecret: LonePod = { name: "with-secret", image: first, node, secret: SECRET };
  await startPod(scene, withSecret);
  scene.promised(
    await isFixed(scene, withSecret),
    "unknown = import: the first pod of a private image, pulled with its secret, has the fix",
  );
  await rm(policy);
  const later: LonePod = { name: "private-digest", image: second, node, secret: SECRET };
  await importedLater(scene, later);
  const pods = [byDigest, without, withSecret, later].map(({ name }) => `pod/${name}`);
  await kubectl.run(["delete", `secret/${SECRET}`, ...pods]);
  return [first, second];
}

async function isNotPulled(scene: Scene, pod: LonePod): Promise<void> {
  await applyPod(scene, pod);
  let why: string | undefined;
  const isRefused = await scene.becomes(SECONDS, async () => {
    why = (await foundPod(scene, pod))?.status.containerStatuses?.[0]?.state.waiting?.reason;
    return why === "ErrImagePull" || why === "ImagePullBackOff";
  });
  scene.promised(isRefused, `a private image is not pulled without a secret: ${why}`);
}

/** What AtomFS does not know runs as it is, by default, until somebody imports it. */
async function importedLater(scene: Scene, pod: LonePod): Promise<void> {
  const { name, image, node } = pod;
  await startPod(scene, pod);
  scene.promised(
    (await versionIn(scene, pod)) === VULNERABLE_VERSION,
    "unknown = run: a private image that AtomFS does not know runs as it is",
  );
  const graph = join(nodeDirectory(node), "storage");
  await scene.atomfs(node, ["import", "--graph-root", graph, `containers-storage:${image}`]);
  const root = await rootOf(scene, pod);
  scene.promised(
    root === "outdated",
    `after its import, by its name with a digest, the pod is outdated (${root})`,
  );
  await scene.cluster.kubectl.run(["delete", "pod", name]);
  await startPod(scene, pod);
  scene.promised(await isFixed(scene, pod), "and the next one has the fix");
}
