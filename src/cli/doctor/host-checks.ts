import { CAPABILITIES, capabilityBit } from "../../runtime/capability-plan.ts";
import type { CgroupFacts } from "../../runtime/host-facts.ts";
import { type Check, works } from "./check.ts";

/** What of a capability's absence is worth saying by itself; without one of "fails" AtomFS does nothing. */
const NEEDED: Readonly<Record<string, { readonly status: "limited" | "fails"; readonly effect: string }>> = {
  CAP_SYS_ADMIN: { status: "fails", effect: "nothing can be mounted, and no container started" },
  CAP_SYS_RESOURCE: {
    status: "limited",
    effect:
      "limits above the own hard limit and an oom_score_adj below the own are not set for containers that ask for them; crio-lxc's log says so each time",
  },
  CAP_MKNOD: { status: "limited", effect: "device nodes that the host does not have cannot be made" },
  CAP_SYS_PTRACE: {
    status: "limited",
    effect:
      "processes with more rights than atomfs cannot be looked into, so `fix verify` proves nothing of them",
  },
};

/** @param effective CapEff @param last /proc/sys/kernel/cap_last_cap */
export function capabilityChecks(effective: bigint, last: number): Check[] {
  const missing = CAPABILITIES.slice(0, last + 1).filter((name) => (effective & capabilityBit(name)) === 0n);
  const named = missing.flatMap((name): Check[] => {
    const need = NEEDED[name];
    if (need === undefined) return [];
    return [
      { id: `rights.${name.toLowerCase().replaceAll("_", "-")}`, finding: `${name} is missing`, ...need },
    ];
  });
  const others = missing.filter((name) => !Object.hasOwn(NEEDED, name));
  const rest: Check =
    missing.length === 0
      ? works("rights.capabilities", "all capabilities are there")
      : {
          id: "rights.capabilities",
          status: "limited",
          finding: `missing: ${missing.join(", ")}`,
          effect:
            others.length === 0
              ? "containers that ask for them do not get them"
              : `containers that ask for ${others.join(", ")} do not get them`,
        };
  return [...named, rest];
}

/** Of v1 by their names there; v2 calls blkio "io", and has devices and freezer without a controller. */
const CONTROLLERS = {
  memory: "--memory",
  cpu: "--cpus, --cpu-shares",
  cpuset: "--cpuset-cpus",
  pids: "--pids-limit",
  blkio: "--blkio-weight, --device-read-bps",
} as const;

export function cgroupChecks(facts: CgroupFacts, writable: string | undefined): Check[] {
  const v1 = new Set(facts.hierarchies.flatMap(({ controllers }) => controllers));
  const v2 = new Set(facts.unifiedControllers);
  const isUnified = facts.layout === "v2";
  const has = (name: string): boolean => v1.has(name) || v2.has(name === "blkio" ? "io" : name);
  const missing = Object.entries(CONTROLLERS).filter(([name]) => !has(name));
  const withoutDevices = !isUnified && !v1.has("devices");
  return [
    facts.hierarchies.length === 0 && facts.unified === undefined
      ? {
          id: "cgroups.layout",
          status: "fails",
          finding: "no cgroup filesystem is mounted below /sys/fs/cgroup",
          effect: "no container can be started",
          advice: "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        }
      : works("cgroups.layout", `cgroups are ${facts.layout}`),
    missing.length === 0
      ? works("cgroups.controllers", `controllers: ${Object.keys(CONTROLLERS).join(", ")}`)
      : {
          id: "cgroups.controllers",
          status: "limited",
          finding: `missing: ${missing.map(([name]) => name).join(", ")}`,
          effect: `containers with ${missing.map(([, options]) => options).join(", ")} do not start`,
        },
    ...(withoutDevices
      ? [
          {
            id: "cgroups.devices",
            status: "fails",
            finding: "there is no devices controller",
            effect: "device rules of containers cannot be enforced, so they do not start",
          } as const,
        ]
      : []),
    writable === undefined
      ? works("cgroups.write", "cgroups can be made")
      : { id: "cgroups.write", status: "fails", finding: writable, effect: "no container can be started" },
  ];
}

export type LxcFacts = {
  /** What `lxc-start --version` says; undefined if there is none. */
  readonly version: string | undefined;
  readonly path: string;
  /** Why the player cannot be read; undefined if it can. */
  readonly player: string | undefined;
  /** Names in /proc/sys/kernel/seccomp/actions_avail. */
  readonly seccompActions: readonly string[];
};

export function lxcChecks({ version, path, player, seccompActions }: LxcFacts): Check[] {
  return [
    version === undefined
      ? {
          id: "lxc.lxc-start",
          status: "fails",
          finding: `${path} is not there`,
          effect: "crio-lxc starts no container; fixes under other runtimes work",
          advice: "apt-get install lxc",
        }
      : works("lxc.lxc-start", `LXC ${version}`),
    player === undefined
      ? works("lxc.player", "the player is there")
      : {
          id: "lxc.player",
          status: "fails",
          finding: player,
          effect: "crio-lxc starts no container",
          advice: "atomfs install",
        },
    seccompActions.includes("errno")
      ? works("kernel.seccomp", "the kernel has seccomp filters")
      : {
          id: "kernel.seccomp",
          status: "limited",
          finding: "the kernel has no seccomp filters",
          effect: "containers with a seccomp profile, which engines give by default, do not start",
          advice: "a kernel with CONFIG_SECCOMP_FILTER",
        },
  ];
}
