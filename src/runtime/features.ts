import { HOOK_POINTS, NAMESPACE_TYPES, SECCOMP_OPERATORS } from "../formats/oci/runtime-config/types.ts";
import { CAPABILITIES } from "./capability-plan.ts";
import type { HostFacts } from "./host-facts.ts";
import { MOUNT_OPTIONS } from "./mount-options.ts";
import { KEEP_GROUPS } from "./process-plan.ts";
import { REFUSED_FIELDS } from "./refused-fields.ts";
import { knownSeccomp } from "./seccomp-plan.ts";
import { PROPERTY_ANNOTATION } from "./systemd-plan.ts";
import { OLDEST_SPEC_VERSION, SPEC_VERSION, VERSION } from "./version.ts";

/** From this version on liblxc knows no cgroup v1. */
const LXC_WITHOUT_CGROUP_V1 = 7;

/**
 * What runtime-spec's features.md asks for: what this runtime takes in a config.json on this machine. Everything comes from the
 * tables that the planner itself works with, so that nothing is listed that it refuses.
 */
export function describeFeatures(host: HostFacts): object {
  const seccomp = knownSeccomp(host.seccompActions);
  const refused = (field: string): boolean => REFUSED_FIELDS.some((row) => row.field === field);
  return {
    ociVersionMin: OLDEST_SPEC_VERSION,
    ociVersionMax: SPEC_VERSION,
    hooks: HOOK_POINTS.filter((point) => !refused(`hooks.${point}`)),
    mountOptions: MOUNT_OPTIONS,
    linux: {
      namespaces: [...NAMESPACE_TYPES].sort(),
      capabilities: CAPABILITIES.slice(0, host.lastCapability + 1),
      cgroup: {
        v1: host.lxcVersion.major < LXC_WITHOUT_CGROUP_V1,
        v2: true,
        systemd: true,
        systemdUser: false,
        rdma: true,
      },
      seccomp: {
        enabled: seccomp.actions.length > 0,
        actions: seccomp.actions,
        operators: SECCOMP_OPERATORS,
        archs: seccomp.architectures,
        knownFlags: seccomp.flags,
        supportedFlags: seccomp.flags,
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: !refused("linux.intelRdt") },
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: !refused("linux.netDevices") },
    },
    annotations: {
      "io.atomfs.crio-lxc.version": VERSION,
      "org.linuxcontainers.liblxc.version": `${host.lxcVersion.major}.${host.lxcVersion.minor}`,
    },
    // One that ends in a dot means all that begin with it.
    potentiallyUnsafeConfigAnnotations: [KEEP_GROUPS, PROPERTY_ANNOTATION],
  };
}
