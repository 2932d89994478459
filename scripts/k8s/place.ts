import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { crioLxcContainers, MARK, processesOf, removeStore, unmountBelow } from "../demo/workplace.ts";
import { killAll, processesIn, removeCgroup } from "./ending.ts";

/*
 * Where everything of the cluster is: one directory, and names on the machine that begin with PREFIX. They are fixed, so
 * that the next run finds and removes what a killed one left. ATOMFS_K8S_NAME is another name, for a second one beside it.
 */

export const PREFIX: string = process.env["ATOMFS_K8S_NAME"] ?? "atomfs-k8s";
export const PLACE: string = join("/var/tmp", PREFIX);
export const NODE_NAMES = ["n1", "n2"] as const;
export type NodeName = (typeof NODE_NAMES)[number];

/** The control plane's own network; the nodes are on its bridge. */
export const CONTROL_NETWORK: string = PREFIX;
export const CONTROL_ADDRESS = "10.99.0.1";
export const REGISTRY: string = `${CONTROL_ADDRESS}:5000`;
/** That asks for a name and a password, where one is started. */
export const PRIVATE_REGISTRY: string = `${CONTROL_ADDRESS}:5001`;
export const SERVICE_RANGE = "10.96.0.0/16";
/** A /24 for each node. */
export const POD_RANGE = "10.128.0.0/16";

/** Variables of every process that is started here: they say whose it is. */
export const OWN_ENV: Readonly<Record<string, string>> = { [MARK]: PLACE };

/** The same, of a node's: its programs and what they start outside of containers. */
export const NODE_MARK = "ATOMFS_K8S_NODE";

export function ownEnvOf(node: NodeName): Record<string, string> {
  return { ...OWN_ENV, [NODE_MARK]: nodeDirectory(node) };
}

export function nodeDirectory(node: NodeName): string {
  return join(PLACE, "nodes", node);
}

export function nodeNetwork(node: NodeName): string {
  return `${PREFIX}-${node}`;
}

export function nodeAddress(node: NodeName): string {
  return `10.99.0.${11 + NODE_NAMES.indexOf(node)}`;
}

/** AtomFS's store of a node. */
export function storeOf(node: NodeName): string {
  return join(nodeDirectory(node), "atomfs");
}

/** A command line in a network namespace. Not `ip netns exec`, which hides the control groups. */
export function inNetwork(network: string, argv: readonly string[]): [string, ...string[]] {
  return ["nsenter", `--net=/run/netns/${network}`, "--", ...argv];
}

const CGROUPS = "/sys/fs/cgroup";
/** kubelet sets these for the whole machine. */
const SYSCTLS = [
  "vm.overcommit_memory",
  "kernel.panic",
  "kernel.panic_on_oops",
  "net.ipv4.ip_forward",
] as const;
const SYSCTL_FILE = join(PLACE, "sysctls");

/** Keeps the machine's own settings for `clearPlace`. */
export async function rememberSysctls(): Promise<void> {
  if (existsSync(SYSCTL_FILE)) return;
  const lines = SYSCTLS.map((name) => `${name}=${readFileSync(sysctlPath(name), "utf8").trim()}\n`);
  await Bun.write(SYSCTL_FILE, lines.join(""));
}

function sysctlPath(name: string): string {
  return join("/proc/sys", name.replaceAll(".", "/"));
}

/** The directories of a node's control group: one in each hierarchy, a hybrid machine's unified one too. */
export function nodeCgroups(node: NodeName): string[] {
  const isUnified = existsSync(join(CGROUPS, "cgroup.controllers"));
  const roots = isUnified
    ? [CGROUPS]
    : readdirSync(CGROUPS, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(CGROUPS, entry.name));
  return roots.map((root) => join(root, nodeNetwork(node)));
}

/** Ends and removes everything of the cluster, whoever started it and however much of it there is. */
export async function clearPlace(programs: string): Promise<void> {
  await killAll(() => processesOf(PLACE));
  for (const node of NODE_NAMES) await killAll(() => processesIn(nodeCgroups(node)));
  for (const id of crioLxcContainers(PLACE)) {
    await run([join(programs, "crio-lxc"), "delete", "--force", id], { ownSession: true, okCodes: [0, 1] });
  }
  for (const node of NODE_NAMES) {
    for (const directory of nodeCgroups(node)) await removeCgroup(directory);
  }
  unmountBelow(PLACE);
  for (const node of NODE_NAMES) removeStore(storeOf(node));
  for (const network of [...NODE_NAMES.map(nodeNetwork), CONTROL_NETWORK]) {
    if (existsSync(join("/run/netns", network)))
      await run(["ip", "netns", "delete", network], { ownSession: true });
  }
  removeTraces();
  if (existsSync(SYSCTL_FILE)) {
    for (const line of readFileSync(SYSCTL_FILE, "utf8").trim().split("\n")) {
      const [name = "", value = ""] = line.split("=");
      await Bun.write(sysctlPath(name), value);
    }
  }
  for (const name of existsSync(PLACE) ? readdirSync(PLACE) : []) {
    if (name !== "lock" && name !== "programs") rmSync(join(PLACE, name), { recursive: true, force: true });
  }
}

/** What kubelet and the CNI plugins write to fixed places of the machine. */
function removeTraces(): void {
  const results = "/var/lib/cni/results";
  for (const name of existsSync(results) ? readdirSync(results) : []) {
    if (name.startsWith(`${PREFIX}-`)) rmSync(join(results, name), { force: true });
  }
  const logs = "/var/log/containers";
  for (const name of existsSync(logs) ? readdirSync(logs) : []) {
    const link = join(logs, name);
    try {
      if (readlinkSync(link).startsWith(`${PLACE}/`)) rmSync(link, { force: true });
    } catch {
      // Not a link.
    }
  }
}
