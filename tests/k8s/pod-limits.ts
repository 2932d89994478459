import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type NodeName, nodeDirectory } from "../../scripts/k8s/place.ts";
import { inContainer } from "./kubectl-streams.ts";
import { GUARANTEED, type Limits } from "./pod-manifests.ts";
import type { Pod, Scene } from "./scene.ts";

const SECONDS = 120;
const GROWN: Limits = { milliCpu: 200, mebibytes: 96 };
const CAP_SYS_RESOURCE = 24n;
/** kubelet's, of a pod whose limits are its requests (pkg/kubelet/qos/policy.go). */
const GUARANTEED_OOM_SCORE = -997;
const PERIOD_US = 100_000;

/** What the guaranteed pod asked for is in its control group, also after it asked for more while it runs. */
export async function limitsAsAsked(scene: Scene, node: NodeName): Promise<void> {
  const { kubectl } = scene.cluster;
  const before = await guaranteed(scene);
  const first = await limitsOf(scene);
  scene.promised(
    first === wanted(GUARANTEED),
    `a guaranteed pod's limits are in its control group: ${first}`,
  );
  await oomScore(scene, node);
  const amount = { cpu: `${GROWN.milliCpu}m`, memory: `${GROWN.mebibytes}Mi` };
  const resources = { requests: amount, limits: amount };
  const patch = JSON.stringify({ spec: { containers: [{ name: "c", resources }] } });
  await kubectl.run(["patch", "pod", "guaranteed", "--subresource=resize", `--patch=${patch}`]);
  let last = "";
  const isResized = await scene.becomes(SECONDS, async () => {
    last = await limitsOf(scene);
    return last === wanted(GROWN);
  });
  scene.promised(isResized, `resize: the new limits are in its control group: ${last}`);
  const after = await guaranteed(scene);
  const [was, is] = [before, after].map((pod) => pod?.status.containerStatuses?.[0]);
  scene.promised(
    is?.restartCount === 0 && is.containerID !== undefined && is.containerID === was?.containerID,
    "resize: it is the same container, which was not restarted",
  );
}

async function guaranteed(scene: Scene): Promise<Pod | undefined> {
  return (await scene.pods()).find(({ metadata }) => metadata.name === "guaranteed");
}

const isUnified = existsSync("/sys/fs/cgroup/cgroup.controllers");

/** As the container sees them: bytes, quota and period. */
async function limitsOf({ cluster }: Scene): Promise<string> {
  const files = isUnified
    ? ["memory.max", "cpu.max"]
    : ["memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"];
  const script = `cd /sys/fs/cgroup && cat ${files.join(" ")}`;
  return (await inContainer(cluster.kubectl, "guaranteed", "c", script)).trim().split(/\s+/).join(" ");
}

function wanted({ milliCpu, mebibytes }: Limits): string {
  return `${mebibytes * 2 ** 20} ${(milliCpu * PERIOD_US) / 1000} ${PERIOD_US}`;
}

/** What takes a capability that this machine may lack is said where it is not done. */
async function oomScore(scene: Scene, node: NodeName): Promise<void> {
  const score = (
    await inContainer(scene.cluster.kubectl, "guaranteed", "c", "cat /proc/1/oom_score_adj")
  ).trim();
  const bounds = /^CapBnd:\t(\w+)$/m.exec(await readFile("/proc/self/status", "utf8"))?.[1] ?? "0";
  if (((BigInt(`0x${bounds}`) >> CAP_SYS_RESOURCE) & 1n) === 1n) {
    scene.promised(Number(score) === GUARANTEED_OOM_SCORE, `a guaranteed pod has its OOM score: ${score}`);
    return;
  }
  const log = await readFile(join(nodeDirectory(node), "crio-lxc.log"), "utf8");
  const said = `process.oomScoreAdj: it is ${score}, not ${GUARANTEED_OOM_SCORE}: lowering it takes CAP_SYS_RESOURCE`;
  scene.promised(
    log.split("\n").some((line) => line.includes("level=warning") && line.includes(said)),
    `without CAP_SYS_RESOURCE crio-lxc's log says what could not be set (OOM score ${score})`,
  );
}
