import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { DEFAULT_STATE_DIRECTORY } from "../../src/runtime/argv.ts";
import { run } from "../../src/sys/process.ts";
import { crioLxcContainers, processesOf, unmountBelow } from "../demo/workplace.ts";
import { killAll, processesIn, removeCgroup } from "./ending.ts";
import {
  CONTROL_NETWORK,
  inNetwork,
  NODE_MARK,
  type NodeName,
  nodeCgroups,
  nodeDirectory,
  nodeNetwork,
  storeOf,
} from "./place.ts";

/** In the node's directory, what a machine has in /run. */
const VOLATILE = ["runroot", "ns", "exits", "attach", "crio.sock", "version"] as const;

/**
 * What pulling a machine's plug does to a node, as far as a node of this machine can have it: every process is killed, and mounts,
 * control groups, the network and /run are gone. Files that were written are there, and the kernel is still the same boot.
 */
export async function powerOff(node: NodeName): Promise<void> {
  await killAll(() => [...processesIn(nodeCgroups(node)), ...processesOf(nodeDirectory(node), NODE_MARK)]);
  for (const directory of nodeCgroups(node)) await removeCgroup(directory);
  const ofBoot = runDirectoryOf(storeOf(node));
  unmountBelow(nodeDirectory(node));
  unmountBelow(ofBoot);
  const states = crioLxcContainers(nodeDirectory(node)).map((id) => join(DEFAULT_STATE_DIRECTORY, id));
  for (const path of [ofBoot, ...states, ...VOLATILE.map((name) => join(nodeDirectory(node), name))])
    rmSync(path, { recursive: true, force: true });
  // The kernel takes its time with a network namespace; a cable that is pulled is gone at once.
  const cable = inNetwork(CONTROL_NETWORK, ["ip", "link", "delete", `v-${node}`]);
  await run(cable, { okCodes: [0, 1] });
  if (existsSync(join("/run/netns", nodeNetwork(node))))
    await run(["ip", "netns", "delete", nodeNetwork(node)]);
}
