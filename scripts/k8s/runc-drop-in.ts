import { join } from "node:path";
import { nodeDirectory } from "./place.ts";

export const RUNC = "/usr/sbin/runc";

/** CRI-O's drop-in for Debian's runc beside crio-lxc, with its state below the node's directory. */
export const RUNC_DROP_IN: string = `[crio.runtime.runtimes.runc]
runtime_path = "${RUNC}"
runtime_type = "oci"
runtime_root = "${join(nodeDirectory("n1"), "runc")}"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "pod"
`;
