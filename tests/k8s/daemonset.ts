import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cluster } from "../../scripts/k8s/cluster.ts";
import type { Promised } from "../../scripts/k8s/cluster-story.ts";
import { pushImage } from "../../scripts/k8s/control-plane.ts";
import { crioSocket } from "../../scripts/k8s/node-files.ts";
import { nodeDirectory, PLACE, storeOf } from "../../scripts/k8s/place.ts";
import { buildNodeImage } from "../../scripts/node-image.ts";
import { CONDITION_TYPE } from "../../src/engines/kubernetes/condition.ts";
import { REPORT_ANNOTATION } from "../../src/engines/kubernetes/report.ts";
import { patience } from "../support/slowness.ts";

const DEPLOY = join(import.meta.dir, "../../deploy");
const NODE = "n1";
const WAIT_MS = 120_000;
const NAMESPACE = ["--namespace", "kube-system"] as const;

/**
 * deploy/ on a node: installs into what stands for the node's /etc and /usr/local here, reports with its own account, and takes away what it
 * installed when it is deleted. systemd and a restart of CRI-O are not here.
 */
export async function daemonSet(cluster: Cluster, promised: Promised, signal: AbortSignal): Promise<void> {
  const { kubectl, programs } = cluster;
  const host = join(nodeDirectory(NODE), "host");
  for (const name of ["etc/crio/crio.conf.d", "usr/local/bin", "run/crio"])
    mkdirSync(join(host, name), { recursive: true });
  // CRI-O gives nobody its own storage, which is beside its socket here.
  linkSync(crioSocket(NODE), join(host, "run/crio/crio.sock"));
  writeFileSync(join(host, "etc/crio/crio.conf.d/90-mine.conf"), "# mine\n");
  const before = everythingIn(host);
  const found = (name: string): string => Bun.which(name, { PATH: kubectl.path }) ?? name;
  const source = await buildNodeImage({
    programs,
    kubectl: found("kubectl"),
    crictl: found("crictl"),
    output: join(PLACE, "node-image"),
    signal,
  });
  const image = await pushImage(source, "atomfs-node:0.1.0", signal);
  await kubectl.run(["apply", "--filename", join(DEPLOY, "rbac.yaml")]);
  const start = Date.now();
  await kubectl.run(["apply", "--filename=-"], manifestFor(host, image));
  const rolledOut = ["rollout", "status", "daemonset/atomfs", `--timeout=${patience(WAIT_MS) / 1000}s`];
  await kubectl.run([...NAMESPACE, ...rolledOut]);
  promised(
    existsSync(join(host, "etc/crio/crio.conf.d/50-atomfs.conf")) &&
      readFileSync(join(host, "usr/local/bin/crio-lxc")).equals(readFileSync(join(programs, "crio-lxc"))),
    "the DaemonSet installs on the node what `atomfs install --crio` does",
  );
  promised(
    !everythingIn(host).some((name) => name.includes("atomfs-report")),
    "but for the timer that reports: that is the DaemonSet's own",
  );
  promised(
    await comesTrue(async () => (await heartbeatOf(cluster)) >= start - 1000),
    "and reports, with its service account",
  );
  const other = ["exec", "daemonset/atomfs", "--", "/opt/atomfs/atomfs", "report", "--node", "n2"];
  const refusal = await kubectl.run([...NAMESPACE, ...other]).then(() => "none", String);
  promised(
    refusal.includes("the status of its own Node only"),
    `which may not write the status of another Node (${refusal.trim().slice(-200)})`,
  );
  const placed = statSync(join(host, "etc/crio/crio.conf.d/50-atomfs.conf"));
  await kubectl.run([...NAMESPACE, "rollout", "restart", "daemonset/atomfs"]);
  await kubectl.run([...NAMESPACE, ...rolledOut]);
  const restarted = Date.now();
  promised(
    statSync(join(host, "etc/crio/crio.conf.d/50-atomfs.conf")).ino === placed.ino,
    "a rollout of the DaemonSet leaves what is installed alone",
  );
  promised(
    await comesTrue(async () => (await heartbeatOf(cluster)) >= restarted + 1000),
    "and its new pod reports",
  );
  const pods = async (): Promise<string> => {
    const ofIt = ["get", "pods", "--selector=app.kubernetes.io/name=atomfs", "--output=name"];
    return (await kubectl.run([...NAMESPACE, ...ofIt])).trim();
  };
  const log = kubectl.run([...NAMESPACE, "logs", "--follow", await pods()]).catch(String);
  await kubectl.run([...NAMESPACE, "delete", "daemonset/atomfs"]);
  promised(await comesTrue(async () => (await pods()) === ""), "its pods end when it is deleted");
  const left = everythingIn(host);
  promised(
    left.join() === before.join(),
    `nothing of it is left on the node, and what was there stays (${left.join(", ")})`,
  );
  const node = await kubectl.run(["get", "node", NODE, "--output=json"]);
  promised(
    !node.includes(CONDITION_TYPE) && !node.includes(REPORT_ANNOTATION),
    `nor of its report on the Node (its pod said: ${(await log).trim().replaceAll("\n", " | ")})`,
  );
  await kubectl.run(["delete", "--filename", join(DEPLOY, "rbac.yaml")]);
}

function everythingIn(host: string): string[] {
  return ["etc", "usr/local"].flatMap((name) =>
    readdirSync(join(host, name), { recursive: true, encoding: "utf8" })
      .map((each) => join(name, each))
      .sort(),
  );
}

type Manifest = {
  readonly spec: {
    readonly template: {
      readonly spec: {
        nodeSelector: Record<string, string>;
        readonly initContainers: readonly { image: string }[];
        readonly containers: readonly {
          image: string;
          env: readonly { readonly name: string; readonly value?: string }[];
        }[];
        readonly volumes: readonly { readonly name: string; readonly hostPath: { path: string } }[];
      };
    };
  };
};

/** The manifest as it is, but for the image, and for directories of this machine that stand for the node's. */
function manifestFor(host: string, image: string): string {
  const manifest = Bun.YAML.parse(readFileSync(join(DEPLOY, "daemonset.yaml"), "utf8")) as Manifest;
  const { spec } = manifest.spec.template;
  spec.nodeSelector = { "kubernetes.io/hostname": NODE };
  for (const container of [...spec.initContainers, ...spec.containers]) container.image = image;
  for (const container of spec.containers)
    container.env = [...container.env, { name: "INTERVAL", value: "3" }];
  for (const { name, hostPath } of spec.volumes)
    hostPath.path = name === "store" ? storeOf(NODE) : join(host, hostPath.path);
  return JSON.stringify(manifest);
}

async function heartbeatOf({ kubectl }: Cluster): Promise<number> {
  const path = 'jsonpath={.status.conditions[?(@.type=="AtomfsPodsCurrent")].lastHeartbeatTime}';
  return Date.parse(await kubectl.run(["get", "node", NODE, `--output=${path}`]));
}

async function comesTrue(isSo: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + patience(WAIT_MS);
  while (performance.now() < end) {
    if (await isSo()) return true;
    await Bun.sleep(500);
  }
  return false;
}
