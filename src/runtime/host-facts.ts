/** What the planner must know of the machine: data, read once by the launcher. */
export type HostFacts = {
  readonly cgroups: CgroupFacts;
  /** The runtime's own CapBnd and CapEff, as bit masks. */
  readonly capabilities: { readonly bounding: bigint; readonly effective: bigint };
  /** The runtime's own supplementary groups. */
  readonly groups: readonly number[];
  /** /proc/sys/kernel/cap_last_cap. */
  readonly lastCapability: number;
  /** The runtime's own hard limits by number (RLIMITS); one that is absent is unlimited. */
  readonly hardLimits: ReadonlyMap<number, bigint>;
  /** The least value that the runtime may write to its own oom_score_adj; -1000 with CAP_SYS_RESOURCE. */
  readonly lowestOomScore: number;
  readonly apparmor: boolean;
  readonly selinux: boolean;
  /** Names in /proc/sys/kernel/seccomp/actions_avail: "errno", "log" ...; empty: no seccomp. */
  readonly seccompActions: readonly string[];
  readonly lxcVersion: { readonly major: number; readonly minor: number };
};

export type CgroupFacts = {
  /** "hybrid": controllers in v1 hierarchies, and a v2 hierarchy without controllers beside them. */
  readonly layout: "v1" | "hybrid" | "v2";
  /** Of v1, in the order of mountinfo: where each is mounted and its controllers ("cpu", "cpuacct", "name=systemd"). */
  readonly hierarchies: readonly CgroupHierarchy[];
  /** Where cgroup v2 is mounted: "/sys/fs/cgroup", in a hybrid layout "/sys/fs/cgroup/unified". */
  readonly unified: string | undefined;
  /** Controllers of v2, from cgroup.controllers of its root. */
  readonly unifiedControllers: readonly string[];
  /** May a process get huge pages on this machine? Only asked where no controller could limit them; true elsewhere. */
  readonly hugePages: boolean;
};

export type CgroupHierarchy = { readonly mountPoint: string; readonly controllers: readonly string[] };
