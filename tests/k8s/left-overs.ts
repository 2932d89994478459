import { existsSync, readdirSync } from "node:fs";
import { crioLxcContainers, processesOf } from "../../scripts/demo/workplace.ts";
import { CONTROL_NETWORK, NODE_NAMES, nodeCgroups, PLACE, PREFIX, storeOf } from "../../scripts/k8s/place.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";

/** What a cluster left on the machine: nothing, if all is well. */
export function leftOvers(): string[] {
  const mounts = readMountinfo().map(({ target }) => target);
  const networks = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
  const results = "/var/lib/cni/results";
  return [
    ...(existsSync(PLACE) ? [PLACE] : []),
    ...mounts.filter((target) => target.startsWith(`${PLACE}/`)).map((target) => `mount ${target}`),
    ...NODE_NAMES.map((node) => runDirectoryOf(storeOf(node))).filter((directory) => existsSync(directory)),
    ...networks.filter((name) => name.startsWith(CONTROL_NETWORK)).map((name) => `network ${name}`),
    ...NODE_NAMES.flatMap(nodeCgroups).filter((directory) => existsSync(directory)),
    ...processesOf(PLACE).map((pid) => `process ${pid}`),
    ...crioLxcContainers(PLACE).map((id) => `container ${id}`),
    ...(existsSync(results) ? readdirSync(results) : []).filter((name) => name.startsWith(PREFIX)),
  ];
}
