import type { IdMapping, RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import type { CgroupFacts } from "./host-facts.ts";
import { isNew, namespaceOf } from "./mount-plan.ts";

const CGROUP_PLACE = "/sys/fs/cgroup";

/**
 * The host's user whose the container's control group is to be: who may divide it among groups of its own
 * (runtime-spec, config-linux.md, "Cgroup ownership"): the process's, if the container has a cgroup namespace of its own and may write
 * there. undefined: it stays as liblxc makes it.
 */
export function cgroupOwner(config: RuntimeConfig, layout: CgroupFacts["layout"]): number | undefined {
  if (layout !== "v2") return undefined;
  const confined = namespaceOf(config, "user") !== undefined;
  const mount = config.mounts.find(({ destination }) => destination === CGROUP_PLACE);
  const writable =
    /^cgroup2?$/.test(mount?.type ?? "") && !mount?.options.some((option) => /^r?ro$/.test(option));
  if (isNew(config, "cgroup") && writable) {
    const uid = config.process?.user.uid ?? 0;
    return confined ? hostId(uid, config.linux.uidMappings) : uid;
  }
  // liblxc gives every group of a user namespace away.
  return confined ? 0 : undefined;
}

/** One that is not mapped is nobody's, and the process will not start as it: root keeps the group. */
function hostId(id: number, maps: readonly IdMapping[]): number {
  const map = maps.find(({ containerId, size }) => id >= containerId && id < containerId + size);
  return map === undefined ? 0 : map.hostId + id - map.containerId;
}
