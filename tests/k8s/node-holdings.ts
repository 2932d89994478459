import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { crioLxcContainers, processesOf } from "../../scripts/demo/workplace.ts";
import { cgroupsBelow, isAlive, processesIn } from "../../scripts/k8s/ending.ts";
import type { NodeDaemons } from "../../scripts/k8s/node.ts";
import {
  NODE_MARK,
  type NodeName,
  nodeCgroups,
  nodeDirectory,
  PREFIX,
  storeOf,
} from "../../scripts/k8s/place.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";

/** Something on a node that must be gone when what it is for is gone. */
export type Holding = {
  readonly what: string;
  /** A container's or sandbox's id or a pod's uid; undefined for what nothing should leave. */
  readonly of: string | undefined;
  /** CRI-O makes it and notes it afterwards: killed between the two, it has lost it for good. */
  readonly isEnginesOwn?: true;
};

const ID = /[0-9a-f]{64}/;
const POD_UID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;

/** Everything that pods and their containers hold on a node: mounts, control groups, processes, networks, state, storage, leases. */
export function holdingsOf(node: NodeName, daemons: NodeDaemons): Holding[] {
  return [
    ...mounts(node),
    ...controlGroups(node),
    ...processes(node, daemons),
    ...crioLxcContainers(nodeDirectory(node)).map((id) => ({ what: `crio-lxc's state of ${id}`, of: id })),
    ...storage(node),
    ...addresses(node),
    ...atomfs(node),
  ];
}

/** Names of namespaces that CRI-O keeps: one of each kind for a sandbox, whose id they don't tell. */
export function keptNetworks(node: NodeName): readonly string[] {
  return listed(join(nodeDirectory(node), "ns/netns"));
}

function mounts(node: NodeName): Holding[] {
  const directory = nodeDirectory(node);
  const containers = layersOf(node);
  const own = ["storage/overlay", "kubelet", "ns"].map((name) => join(directory, name));
  return readMountinfo()
    .map(({ target }) => target)
    .filter((target) => target.startsWith(`${directory}/`) && !own.some((each) => isUnder(target, each)))
    .map((target) => {
      const id = ID.exec(target)?.[0];
      const of = id === undefined ? POD_UID.exec(target)?.[0] : (containers.get(id) ?? id);
      return { what: `mount ${target}`, of };
    });
}

/** CRI-O's and kubelet's own mounts, or one of the namespaces that `keptNetworks` counts. */
function isUnder(target: string, directory: string): boolean {
  return target === directory || (directory.endsWith("/ns") && target.startsWith(`${directory}/`));
}

function controlGroups(node: NodeName): Holding[] {
  return nodeCgroups(node)
    .filter((directory) => existsSync(directory))
    .flatMap(cgroupsBelow)
    .filter((directory) => /^(pod|crio-)/.test(basename(directory)))
    .map((directory) => ({ what: `control group ${directory}`, of: ownerOf(basename(directory)) }));
}

function ownerOf(text: string): string | undefined {
  return (ID.exec(text) ?? POD_UID.exec(text))?.[0];
}

function processes(node: NodeName, { crio, kubelet, proxy }: NodeDaemons): Holding[] {
  const own = new Set([crio, kubelet, proxy].map(({ child }) => child.pid));
  const pids = new Set([...processesIn(nodeCgroups(node)), ...processesOf(nodeDirectory(node), NODE_MARK)]);
  return [...pids]
    .filter((pid) => !own.has(pid) && isAlive(pid))
    .map((pid) => {
      const groups = textOf(`/proc/${pid}/cgroup`);
      const command = textOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ").slice(0, 200);
      return { what: `process ${pid} ${command}`, of: ownerOf(groups) ?? ownerOf(command) };
    });
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

type StoredContainer = { readonly id: string; readonly layer: string };

/** containers/storage keeps those that end with the boot in a list of their own. */
function storedContainers(node: NodeName): StoredContainer[] {
  return ["containers.json", "volatile-containers.json"].flatMap((name) => {
    const text = textOf(join(nodeDirectory(node), "storage/overlay-containers", name));
    return text === "" ? [] : (JSON.parse(text) as readonly StoredContainer[]);
  });
}

/** Containers by their layer. */
function layersOf(node: NodeName): Map<string, string> {
  return new Map(storedContainers(node).map(({ id, layer }) => [layer, id]));
}

/** Containers of the storage, and directories of layers that it has forgotten. */
function storage(node: NodeName): Holding[] {
  const root = join(nodeDirectory(node), "storage");
  const known = new Set(
    ["layers.json", "volatile-layers.json"].flatMap((name) => {
      const text = textOf(join(root, "overlay-layers", name));
      return text === "" ? [] : (JSON.parse(text) as readonly { readonly id: string }[]).map(({ id }) => id);
    }),
  );
  return [
    ...storedContainers(node).map(({ id }) => ({ what: `storage container ${id}`, of: id })),
    ...listed(join(root, "overlay"))
      .filter((name) => ID.test(name) && !known.has(name))
      .map((name) => ({ what: `layer directory ${name}`, of: undefined })),
  ];
}

/** host-local's files hold the sandbox's id on their first line. */
function addresses(node: NodeName): Holding[] {
  const directory = join(nodeDirectory(node), "ipam", `${PREFIX}-${node}`);
  return listed(directory)
    .filter((name) => /^[0-9.]+$/.test(name))
    .map((name) => ({
      what: `address ${name}`,
      of: ownerOf(textOf(join(directory, name))),
      isEnginesOwn: true,
    }));
}

/** Molecules are mounted at create for the container alone: no mount point and no lease stays. */
function atomfs(node: NodeName): Holding[] {
  const run = runDirectoryOf(storeOf(node));
  return [
    ...listed(join(run, "leases")).map((name) => ({ what: `lease ${name}`, of: undefined })),
    ...listed(run)
      .filter((name) => name.startsWith("layers-"))
      .map((name) => ({ what: `mount points ${join(run, name)}`, of: undefined })),
    ...readMountinfo()
      .filter(({ target }) => target.startsWith(`${run}/`))
      .map(({ target }) => ({ what: `mount ${target}`, of: undefined })),
  ];
}

function listed(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
