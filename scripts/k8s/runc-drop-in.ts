import { join } from "node:path";
import { nodeDirectory, OWN_ENV } from "./place.ts";

export const RUNC = "/usr/sbin/runc";

/** conmon gets no other variables; by one of them it is known as ours. */
const MONITOR_ENV: readonly string[] = Object.entries({
  ...OWN_ENV,
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
}).map(([name, value]) => JSON.stringify(`${name}=${value}`));

/** CRI-O's drop-in for Debian's runc beside crio-lxc, with its state below the node's directory. */
export const RUNC_DROP_IN: string = `[crio.runtime.runtimes.runc]
runtime_path = "${RUNC}"
runtime_type = "oci"
runtime_root = "${join(nodeDirectory("n1"), "runc")}"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "pod"
monitor_env = [${MONITOR_ENV.join(", ")}]
`;
