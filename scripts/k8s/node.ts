import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { type Daemon, startDaemon, until } from "./daemons.ts";
import type { Kubectl } from "./kubectl.ts";
import {
  cniConf,
  crioConf,
  crioSocket,
  kubeletConf,
  nodeEnv,
  proxyConf,
  REGISTRIES_CONF,
} from "./node-files.ts";
import { kubeconfigOf } from "./pki.ts";
import {
  CONTROL_ADDRESS,
  CONTROL_NETWORK,
  inNetwork,
  type NodeName,
  nodeAddress,
  nodeCgroups,
  nodeDirectory,
  nodeNetwork,
  ownEnvOf,
  POD_RANGE,
  rememberSysctls,
} from "./place.ts";

const READY_SECONDS = 180;
const ANY_CODE: readonly number[] = Array.from({ length: 256 }, (_, code) => code);

export type EngineOptions = {
  readonly node: NodeName;
  /** A PATH with CRI-O's programs. */
  readonly path: string;
  /** With crio-lxc and the player. */
  readonly programs: string;
  readonly pause: string;
  readonly signal: AbortSignal;
  /** CRI-O's configuration drop-ins by their file names. */
  readonly dropIns?: Readonly<Record<string, string>>;
};

export type NodeOptions = Omit<EngineOptions, "path"> & { readonly kubectl: Kubectl };

export type NodeDaemons = { readonly crio: Daemon; readonly kubelet: Daemon; readonly proxy: Daemon };

/** CRI-O in a network namespace of the node's own. It has no network for pods yet. */
export async function startEngine(options: EngineOptions): Promise<Daemon> {
  await writeFiles(options);
  return bootEngine(options);
}

async function bootEngine(options: EngineOptions): Promise<Daemon> {
  await makeNetwork(options.node);
  makeCgroups(options.node);
  await mkdir(file(options.node, "exits"), { recursive: true });
  return startCrio(options);
}

/** An engine, kubelet and kube-proxy; back when Kubernetes says that it is ready. */
export async function startNode(options: NodeOptions): Promise<NodeDaemons> {
  await writeFiles({ ...options, path: options.kubectl.path });
  await writeFile(file(options.node, "kubelet.yaml"), kubeletConf(options.node));
  return bootNode(options);
}

/** As `startNode`, of a node that was there before and is switched off. */
export async function bootNode(options: NodeOptions): Promise<NodeDaemons> {
  const { node, kubectl, signal } = options;
  const crio = await bootEngine({ ...options, path: kubectl.path });
  await rememberSysctls();
  const kubelet = startKubelet(options);
  let podRange = "";
  const hasRange = async (): Promise<boolean> => {
    const args = ["get", "node", node, "--ignore-not-found", "--output=jsonpath={.spec.podCIDR}"];
    podRange = await kubectl.run(args).catch(() => "");
    return podRange !== "";
  };
  await until(`node ${node} registers`, READY_SECONDS, signal, hasRange, kubelet);
  // Other nodes' pods, and the control plane's own way to pods.
  await run(inNetwork(CONTROL_NETWORK, ["ip", "route", "replace", podRange, "via", nodeAddress(node)]));
  await connectPods(node, podRange);
  await writeFile(file(node, "proxy.yaml"), proxyConf(node, kubeconfigOf("proxy"), POD_RANGE));
  const proxy = startDaemon(
    `kube-proxy-${node}`,
    nodeNetwork(node),
    ["kube-proxy", `--config=${file(node, "proxy.yaml")}`],
    { PATH: kubectl.path, ...ownEnvOf(node) },
  );
  const condition = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
  const isReady = async (): Promise<boolean> =>
    (await kubectl.run(["get", "node", node, `--output=${condition}`]).catch(() => "")) === "True";
  await until(`node ${node} is ready`, READY_SECONDS, signal, isReady, kubelet);
  return { crio, kubelet, proxy };
}

/** Also after it was killed. */
export function startKubelet({ node, kubectl }: Pick<NodeOptions, "node" | "kubectl">): Daemon {
  return startDaemon(
    `kubelet-${node}`,
    nodeNetwork(node),
    [
      "kubelet",
      `--config=${file(node, "kubelet.yaml")}`,
      `--kubeconfig=${kubeconfigOf(node)}`,
      `--hostname-override=${node}`,
      `--node-ip=${nodeAddress(node)}`,
      `--root-dir=${file(node, "kubelet")}`,
    ],
    { PATH: kubectl.path, ...ownEnvOf(node) },
  );
}

/** The pods' network. CRI-O reads what is there, also if it is written half. */
export async function connectPods(node: NodeName, podRange: string): Promise<void> {
  await writeFile(file(node, "cni.tmp"), cniConf(node, podRange));
  await rename(file(node, "cni.tmp"), file(node, "cni/10-bridge.conflist"));
}

function file(node: NodeName, name: string): string {
  return join(nodeDirectory(node), name);
}

async function writeFiles({ node, path, programs, pause, dropIns = {} }: EngineOptions): Promise<void> {
  for (const name of ["cni", "static", "plugins", "crio.conf.d", "home/.config/containers"])
    await mkdir(file(node, name), { recursive: true });
  const insecure = { default: [{ type: "insecureAcceptAnything" }] };
  await writeFile(file(node, "policy.json"), `${JSON.stringify(insecure)}\n`);
  await writeFile(file(node, "home/.config/containers/registries.conf"), REGISTRIES_CONF);
  await writeFile(file(node, "crio.conf"), crioConf(node, programs, path, pause));
  for (const [name, text] of Object.entries(dropIns))
    await writeFile(file(node, join("crio.conf.d", name)), text);
  await writeFile(file(node, "resolv.conf"), "");
}

async function makeNetwork(node: NodeName): Promise<void> {
  const network = nodeNetwork(node);
  const outside = (...args: readonly string[]): Promise<unknown> =>
    run(inNetwork(CONTROL_NETWORK, ["ip", ...args]));
  const inside = (...args: readonly string[]): Promise<unknown> => run(inNetwork(network, args));
  await run(["ip", "netns", "add", network]);
  await inside("ip", "link", "set", "lo", "up");
  await outside("link", "add", `v-${node}`, "type", "veth", "peer", "name", "eth0", "netns", network);
  await outside("link", "set", `v-${node}`, "master", "br0", "up");
  await inside("ip", "addr", "add", `${nodeAddress(node)}/24`, "dev", "eth0");
  await inside("ip", "link", "set", "eth0", "up");
  // Addresses of Services need a route before kube-proxy's rules see them.
  await inside("ip", "route", "add", "default", "via", CONTROL_ADDRESS);
  await inside("sysctl", "-qw", "net.ipv4.ip_forward=1");
  await run(inNetwork(CONTROL_NETWORK, ["sysctl", "-qw", "net.ipv4.ip_forward=1"]));
}

/** kubelet wants its group to be there, with what cgroup v1 doesn't hand down by itself. */
function makeCgroups(node: NodeName): void {
  for (const directory of nodeCgroups(node)) {
    const hierarchy = basename(dirname(directory));
    if (hierarchy === "unified") continue;
    mkdirSync(directory, { recursive: true });
    if (hierarchy !== "cpuset") continue;
    for (const name of ["cpuset.cpus", "cpuset.mems"])
      writeFileSync(join(directory, name), readFileSync(join(dirname(directory), name)));
  }
}

/** Also after it was ended: containers outlive it. */
export async function startCrio({
  node,
  path,
  signal,
}: Pick<EngineOptions, "node" | "path" | "signal">): Promise<Daemon> {
  const daemon = startDaemon(
    `crio-${node}`,
    nodeNetwork(node),
    ["crio", "--config", file(node, "crio.conf"), "--config-dir", file(node, "crio.conf.d")],
    { PATH: path, HOME: file(node, "home"), ...ownEnvOf(node) },
  );
  const env = { ...process.env, ...nodeEnv(node, path) };
  const crictl = Bun.which("crictl", { PATH: path }) ?? "crictl";
  const answers = async (): Promise<boolean> =>
    existsSync(crioSocket(node)) &&
    (await run([crictl, "--timeout", "5s", "version"], { env, okCodes: ANY_CODE })).code === 0;
  await until(`CRI-O of node ${node}`, READY_SECONDS, signal, answers, daemon);
  return daemon;
}
