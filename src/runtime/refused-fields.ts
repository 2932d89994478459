import type { RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import { unsupported } from "./mount-options.ts";

/**
 * What runtime-spec has and this runtime does not do yet, where leaving it out would give another container than asked for: one
 * table, so that `features` and the documentation can be checked against it. Refused where they are read, with their own
 * details: id-mapped mounts that are no bind mounts, the seccomp listener, process.scheduler, process.ioPriority, process.execCPUAffinity, flags of
 * linux.personality, unknown mount options of bind mounts, resources that cgroup v2 cannot express.
 */
export const REFUSED_FIELDS: readonly {
  readonly field: string;
  readonly reason: string;
  readonly isSet: (config: RuntimeConfig) => boolean;
}[] = [
  { field: "linux.intelRdt", reason: "not implemented", isSet: ({ linux }) => linux.intelRdt },
  { field: "linux.memoryPolicy", reason: "not implemented", isSet: ({ linux }) => linux.memoryPolicy },
  { field: "linux.timeOffsets", reason: "not implemented", isSet: ({ linux }) => linux.timeOffsets },
  { field: "linux.netDevices", reason: "not implemented", isSet: ({ linux }) => linux.netDevices },
];

/** @throws AtomfsError "unsupported", naming the first field that is set */
export function refuseFields(config: RuntimeConfig): void {
  for (const { field, reason, isSet } of REFUSED_FIELDS) {
    if (isSet(config)) unsupported(field, reason);
  }
}
