import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type NodeName, nodeDirectory } from "../../scripts/k8s/place.ts";
import { inContainer, inTerminal } from "./kubectl-streams.ts";
import { type Placed, pod } from "./pod-manifests.ts";
import type { Scene } from "./scene.ts";

const PROFILE = "no-directories.json";

/** kubelet's directory for profiles of the node's own. */
export async function placeProfile(node: NodeName): Promise<void> {
  const directory = join(nodeDirectory(node), "kubelet/seccomp");
  await mkdir(directory, { recursive: true });
  const refused = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 };
  const profile = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [refused] };
  await writeFile(join(directory, PROFILE), JSON.stringify(profile));
}

/** The image's own service, which is ready when its port can be connected to, below a profile of the node. */
export function confinedPod(at: Placed): object {
  const probe = { tcpSocket: { port: 8080 }, periodSeconds: 1, timeoutSeconds: 30 };
  const container = {
    name: "c",
    image: at.image,
    readinessProbe: probe,
    livenessProbe: probe,
    securityContext: { seccompProfile: { type: "Localhost", localhostProfile: PROFILE } },
  };
  return pod("confined", at, { containers: [container] });
}

/** A pod that nobody can connect to: it must not become ready. */
export function deafPod(at: Placed): object {
  const readinessProbe = { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 1 };
  const container = { name: "c", image: at.image, command: ["sleep", "1000"], readinessProbe };
  return pod("deaf", at, { containers: [container] });
}

export async function confinedAsAsked(scene: Scene): Promise<void> {
  const { kubectl } = scene.cluster;
  const script =
    "grep Seccomp: /proc/1/status | cut -f 2; mkdir /tmp/new 2>&1; touch /tmp/new && echo touched";
  const seen = (await inContainer(kubectl, "confined", "c", script)).trim().split("\n").join(" ");
  scene.promised(
    /^2 mkdir: .*Operation not supported touched$/.test(seen),
    `a seccomp profile of the node decides: ${seen}`,
  );
  const isReady = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
  const deaf = await kubectl.run(["get", "pod", "deaf", `--output=${isReady} {.status.phase}`]);
  scene.promised(
    deaf === "False Running",
    `a TCP probe that nobody answers keeps a pod from being ready: ${deaf}`,
  );
}

/** exec with a terminal, whose size is that of the person's. */
export async function terminalAsAsked(scene: Scene): Promise<void> {
  const script = [
    'n=0; until test "$(stty size)" = "33 77" || test $n = 300; do sleep 0.1; n=$((n+1)); done',
    // The terminal echoes what was typed ahead at any time: nothing of the answer is split before it is read.
    'seen="$(tty) $(stty size)"; read -r line; echo "<$seen> [$line]"; exit 5',
  ].join("; ");
  const { code, text } = await inTerminal(
    scene.cluster.kubectl,
    "composed",
    "main",
    script,
    "typed\n",
    scene.signal,
  );
  scene.promised(
    code === 5 && text.includes("</dev/pts/0 33 77> [typed]\n"),
    `exec in a terminal: its size, what is typed, its exit code: ${code} ${JSON.stringify(text.slice(-200))}`,
  );
}
