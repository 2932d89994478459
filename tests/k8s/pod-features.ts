import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inNetwork, type NodeName, nodeDirectory, nodeNetwork, REGISTRY } from "../../scripts/k8s/place.ts";
import { run } from "../../src/sys/process.ts";
import { attached, forwarded, inContainer } from "./kubectl-streams.ts";
import { confinedAsAsked, confinedPod, deafPod, placeProfile, terminalAsAsked } from "./pod-confinement.ts";
import { limitsAsAsked } from "./pod-limits.ts";
import {
  composedPod,
  greedyPod,
  guaranteedPod,
  hostPods,
  illPod,
  orderlyPod,
  staticPod,
} from "./pod-manifests.ts";
import { mountedTree, storedAsAsked, storedPod } from "./pod-storage.ts";
import { isReady, type Pod, type Scene } from "./scene.ts";

const SECONDS = 240;
const NAMES = [
  "composed",
  "ill",
  "greedy",
  "host-namespaces",
  "privileged",
  "guaranteed",
  "orderly",
  "stored",
  "confined",
  "deaf",
] as const;
/** Those that are ready until they are deleted. */
const LASTING = [
  "composed",
  "host-namespaces",
  "privileged",
  "guaranteed",
  "orderly",
  "stored",
  "confined",
] as const;

/** What pods may ask for works on a node whose images are fixed, and each of these pods has the fix. */
export async function podFeatures(scene: Scene, node: NodeName): Promise<void> {
  const { kubectl } = scene.cluster;
  const at = { image: `${REGISTRY}/demo/feed:1.0`, node };
  const said = join(nodeDirectory(node), "said");
  await mkdir(said, { recursive: true });
  await using tree = await mountedTree(node);
  await placeProfile(node);
  const pods = [illPod(at), greedyPod(at), guaranteedPod(at), orderlyPod(at, said), ...hostPods(at)];
  const more = [...storedPod(at, tree.path), confinedPod(at), deafPod(at)];
  const items = [...composedPod(at), ...pods, ...more];
  await kubectl.run(["apply", "--filename=-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const manifest = join(nodeDirectory(node), "static/static.json");
  await writeFile(manifest, JSON.stringify(staticPod(at)));
  const lasting = [...LASTING, `static-${node}`];
  let found: readonly Pod[] = [];
  const areUp = await scene.becomes(SECONDS, async () => {
    found = (await scene.podsOn(node)).filter(isReady);
    return lasting.every((name) => found.some(({ metadata }) => metadata.name === name));
  });
  const missing = lasting.filter((name) => !found.some(({ metadata }) => metadata.name === name));
  scene.promised(
    areUp,
    `static, guaranteed, privileged and composed pods run${areUp ? "" : `, not ${missing.join(", ")}`}`,
  );
  await haveTheFix(scene, node, lasting);
  await composed(scene);
  await streams(scene);
  await terminalAsAsked(scene);
  await hosts(scene, node);
  await storedAsAsked(scene, node);
  await limitsAsAsked(scene, node);
  await confinedAsAsked(scene);
  await restartsAndKills(scene);
  await debugged(scene, at.image);
  await stopped(scene, said);
  await rm(manifest);
  await kubectl.run(["delete", "pod", "--ignore-not-found", "--wait=false", ...NAMES]);
  const areGone = await scene.becomes(SECONDS, async () => {
    const left = (await scene.podsOn(node)).map(({ metadata }) => metadata.name);
    return ![...NAMES, `static-${node}`].some((name) => left.includes(name));
  });
  scene.promised(areGone, "they go away");
}

async function haveTheFix(scene: Scene, node: NodeName, pods: readonly string[]): Promise<void> {
  const rows = await scene.containers(node);
  const wrong = rows.filter(
    ({ name, root }) =>
      pods.some((pod) => name.startsWith(`default/${pod}/`)) && !["current", "stopped"].includes(root),
  );
  const all = pods.every((pod) =>
    rows.some(({ name, root }) => name.startsWith(`default/${pod}/`) && root === "current"),
  );
  const shown = wrong.map(({ name, root }) => `${name} ${root}`).join(", ");
  scene.promised(
    all && wrong.length === 0,
    `each container of them runs on the current molecule${shown === "" ? "" : `, not ${shown}`}`,
  );
}

async function composed(scene: Scene): Promise<void> {
  const { kubectl } = scene.cluster;
  // A container without a probe is ready before its program has written anything.
  let log = "";
  const isLogged = await scene.becomes(SECONDS, async () => {
    log = await kubectl.run(["logs", "composed", "--container=main"]);
    return log === "made\nup\ngreencomposed";
  });
  scene.promised(isLogged, `init container, sidecar, volumes, logs: ${JSON.stringify(log)}`);
  const [pod] = (await scene.pods()).filter(({ metadata }) => metadata.name === "composed");
  const states = pod?.status.initContainerStatuses ?? [];
  scene.promised(
    states.find(({ name }) => name === "first")?.state.terminated?.exitCode === 0 &&
      states.find(({ name }) => name === "sidecar")?.state.running !== undefined,
    "the init container has ended, the sidecar runs",
  );
  const seen = await inContainer(
    kubectl,
    "composed",
    "main",
    "id -u; id -g; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | cut -f 2; touch /new 2>/dev/null || echo refused; touch /e/new && echo written; test -s /p/token && echo token",
  );
  const none = "0000000000000000";
  const wanted = ["1234", "2345", none, none, "1", "2", "refused", "written", "token"];
  scene.promised(
    seen.trim().split("\n").join() === wanted.join(),
    `the security context is what was asked for: ${seen.trim().split("\n").join(" ")}`,
  );
  const { code } = await run(
    kubectl.argv(["exec", "composed", "--container=main", "--", "sh", "-c", "exit 42"]),
    {
      okCodes: Array.from({ length: 256 }, (_, each) => each),
      signal: scene.signal,
    },
  );
  scene.promised(code === 42, `exec ends with its program's exit code: ${code}`);
}

async function streams(scene: Scene): Promise<void> {
  const { kubectl } = scene.cluster;
  await attached(kubectl, "composed", "echo", "a word\n", scene.signal);
  const heard = await scene.becomes(SECONDS, async () =>
    (await kubectl.run(["logs", "composed", "--container=echo"])).includes("heard a word"),
  );
  scene.promised(heard, "attach hands stdin on");
  const answer = await forwarded(kubectl, "service/feed", 80, "/health", scene.signal);
  scene.promised(answer.code === 0, `port-forward reaches the pod: ${answer.text.slice(0, 100)}`);
}

async function hosts(scene: Scene, node: NodeName): Promise<void> {
  const { stdout } = await run(inNetwork(nodeNetwork(node), ["readlink", "/proc/self/ns/net"]));
  const { kubectl } = scene.cluster;
  const seen = await inContainer(
    kubectl,
    "host-namespaces",
    "c",
    "readlink /proc/self/ns/net; tr '\\0' ' ' < /proc/1/cmdline | head -c 40",
  );
  const own = (await readFile("/proc/1/cmdline", "utf8")).replaceAll("\0", " ").slice(0, 40);
  const [network, ...process] = seen.split("\n");
  scene.promised(network === stdout.toString().trim(), "hostNetwork: the pod's network is the node's");
  scene.promised(process.join("\n").trim() === own.trim(), "hostPID: process 1 is the machine's");
  const privileged = await inContainer(
    kubectl,
    "privileged",
    "c",
    "grep CapEff /proc/self/status | cut -f 2; mount -t tmpfs none /mnt && echo mounted",
  );
  const [caps = "", mounted] = privileged.trim().split("\n");
  const mine = /^CapBnd:\t(\w+)$/m.exec(await readFile("/proc/self/status", "utf8"))?.[1] ?? "";
  scene.promised(
    caps === mine && mounted === "mounted",
    `privileged: all capabilities that the machine has (${caps})`,
  );
}

async function restartsAndKills(scene: Scene): Promise<void> {
  const statusOf = async (name: string) =>
    (await scene.pods()).find(({ metadata }) => metadata.name === name)?.status.containerStatuses?.[0];
  const restarted = await scene.becomes(
    SECONDS,
    async () => ((await statusOf("ill"))?.restartCount ?? 0) >= 1,
  );
  const ended = (await statusOf("ill"))?.lastState.terminated;
  scene.promised(
    restarted && ended?.exitCode === 137,
    `a container that fails its liveness probe is restarted: ${JSON.stringify(ended?.exitCode)}`,
  );
  await scene.becomes(SECONDS, async () => (await statusOf("greedy"))?.state.terminated !== undefined);
  const killed = (await statusOf("greedy"))?.state.terminated;
  scene.promised(
    killed?.reason === "OOMKilled" && killed.exitCode === 137,
    `a container over its memory limit is reported as OOMKilled: ${killed?.reason} ${killed?.exitCode}`,
  );
}

/** An ephemeral container, in the processes of the main one. */
async function debugged(scene: Scene, image: string): Promise<void> {
  const { kubectl } = scene.cluster;
  const look = "tr '\\0' ' ' < /proc/1/cmdline; dpkg-query --show libexpat1 | cut -f 2";
  const debug = [
    "debug",
    "composed",
    `--image=${image}`,
    "--target=main",
    "--container=look",
    "--profile=general",
  ];
  await kubectl.run([...debug, "--", "sh", "-c", look]);
  let text = "";
  const isDone = await scene.becomes(SECONDS, async () => {
    text = await kubectl.run(["logs", "composed", "--container=look"]).catch(() => "");
    return text.includes("deb12u");
  });
  scene.promised(
    isDone && text.includes("sleep 1000") && /\+deb12u([3-9]|\d\d)/.test(text),
    `an ephemeral container sees its target's processes, and has the fix: ${JSON.stringify(text)}`,
  );
}

/** preStop first, then SIGTERM, and all the time that it needs. */
async function stopped(scene: Scene, directory: string): Promise<void> {
  await scene.cluster.kubectl.run(["delete", "pod", "orderly"]);
  const said = (await readFile(join(directory, "said"), "utf8")).trim().split("\n").join(" ");
  scene.promised(said === "started stop term end", `a pod that is deleted ends in order: ${said}`);
}
