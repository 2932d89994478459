import type { CapabilitiesConfig } from "../formats/oci/runtime-config/types.ts";
import type { HostFacts } from "./host-facts.ts";
import type { Capabilities } from "./operations.ts";

/** include/uapi/linux/capability.h: the name's place is its number. */
export const CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
];

export function capabilityBit(name: string): bigint {
  const number = CAPABILITIES.indexOf(name);
  return number < 0 ? 0n : 1n << BigInt(number);
}

/** Names of the bits, for people. */
export function capabilityNames(mask: bigint): string[] {
  return CAPABILITIES.filter((name) => (mask & capabilityBit(name)) !== 0n);
}

/**
 * The five sets as asked, less what cannot be had: each such capability is a warning, never another one in its place. Without
 * a list the container gets none.
 * @param ownUserNamespace in a user namespace of its own the container can have all that the kernel knows
 */
export function planCapabilities(
  config: CapabilitiesConfig | undefined,
  host: HostFacts,
  ownUserNamespace: boolean,
  warn: (warning: string) => void,
): Capabilities {
  const known = (1n << BigInt(host.lastCapability + 1)) - 1n;
  const available = ownUserNamespace
    ? known
    : host.capabilities.bounding & host.capabilities.effective & known;
  const keep = (set: keyof CapabilitiesConfig, wanted: bigint, possible: bigint, why: string): bigint => {
    for (const name of capabilityNames(wanted & ~possible))
      warn(`process.capabilities.${set}: ${name} is left out: ${why}`);
    return wanted & possible;
  };
  const mask = (set: keyof CapabilitiesConfig): bigint => {
    let wanted = 0n;
    for (const name of config?.[set] ?? []) {
      const bit = capabilityBit(name);
      if (bit === 0n)
        warn(`process.capabilities.${set}: ${JSON.stringify(name.slice(0, 100))} is unknown and left out`);
      wanted |= bit;
    }
    return keep(set, wanted, available, "this machine does not have it");
  };
  const bounding = mask("bounding");
  const permitted = mask("permitted");
  // The kernel refuses the whole call otherwise: security/commoncap.c, cap_capset and cap_task_prctl.
  const inheritable = keep("inheritable", mask("inheritable"), bounding, "it is not in the bounding set");
  const effective = keep("effective", mask("effective"), permitted, "it is not in the permitted set");
  const ambient = keep(
    "ambient",
    mask("ambient"),
    permitted & inheritable,
    "it is not permitted and inheritable",
  );
  return { bounding, effective, permitted, inheritable, ambient };
}
