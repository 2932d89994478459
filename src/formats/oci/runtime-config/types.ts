/** OCI runtime-spec 1.0 to 1.3, config.md and config-linux.md: the parts that a runtime on Linux reads. Text has no NUL. */

export type RuntimeConfig = {
  readonly ociVersion: string;
  /** Absent: the container can be created, but not started. */
  readonly process: ProcessConfig | undefined;
  readonly root: { readonly path: string; readonly readonly: boolean } | undefined;
  readonly hostname: string | undefined;
  readonly domainname: string | undefined;
  readonly mounts: readonly MountConfig[];
  readonly hooks: HooksConfig;
  readonly annotations: ReadonlyMap<string, string>;
  readonly linux: LinuxConfig;
  /** Properties that this parser does not know, as "linux.foo": ignored, as the specification demands, but not unseen. */
  readonly unknown: readonly string[];
};

export type ProcessConfig = {
  readonly terminal: boolean;
  readonly consoleSize: { readonly height: number; readonly width: number } | undefined;
  readonly user: UserConfig;
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly capabilities: CapabilitiesConfig | undefined;
  readonly rlimits: readonly RlimitConfig[];
  readonly noNewPrivileges: boolean;
  readonly apparmorProfile: string | undefined;
  readonly selinuxLabel: string | undefined;
  /** -1000 to 1000. */
  readonly oomScoreAdj: number | undefined;
  /** Present in the file; refused by the planner. */
  readonly scheduler: boolean;
  readonly ioPriority: boolean;
  readonly execCPUAffinity: boolean;
};

export type UserConfig = {
  readonly uid: number;
  readonly gid: number;
  /** 0 to 0o777. */
  readonly umask: number | undefined;
  readonly additionalGids: readonly number[];
};

/** Names as in the file, "CAP_CHOWN"; whether the kernel knows them is the planner's question. */
export type CapabilitiesConfig = {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly inheritable: readonly string[];
  readonly permitted: readonly string[];
  readonly ambient: readonly string[];
};

export type RlimitConfig = {
  /** "RLIMIT_NOFILE"; known and named once. */
  readonly type: RlimitName;
  /** 0 to 2^64 - 1, which is "unlimited"; `soft` is not above `hard`. */
  readonly soft: bigint;
  readonly hard: bigint;
};

/** include/uapi/asm-generic/resource.h: the numbers of x86-64 and arm64. */
export const RLIMITS = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
} as const;

export type RlimitName = keyof typeof RLIMITS;

export type MountConfig = {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
  readonly uidMappings: readonly IdMapping[];
  readonly gidMappings: readonly IdMapping[];
};

export type IdMapping = { readonly containerId: number; readonly hostId: number; readonly size: number };

export type HookConfig = {
  /** Absolute. */
  readonly path: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** Seconds, more than 0. */
  readonly timeout: number | undefined;
};

export const HOOK_POINTS = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;

export type HooksConfig = { readonly [point in (typeof HOOK_POINTS)[number]]: readonly HookConfig[] };

export const NAMESPACE_TYPES = ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"] as const;

export type NamespaceType = (typeof NAMESPACE_TYPES)[number];

/** `path` absolute: an existing namespace to join. */
export type NamespaceConfig = { readonly type: NamespaceType; readonly path: string | undefined };

export type DeviceConfig = {
  readonly type: "char" | "block" | "fifo";
  /** Absolute. */
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  /** Permission bits; 0o666 if the file names none. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
};

export type Propagation = {
  readonly kind: "private" | "shared" | "slave" | "unbindable";
  readonly recursive: boolean;
};

export type LinuxConfig = {
  readonly namespaces: readonly NamespaceConfig[];
  readonly uidMappings: readonly IdMapping[];
  readonly gidMappings: readonly IdMapping[];
  readonly devices: readonly DeviceConfig[];
  readonly cgroupsPath: string | undefined;
  readonly resources: ResourcesConfig | undefined;
  readonly seccomp: SeccompConfig | undefined;
  readonly sysctl: ReadonlyMap<string, string>;
  readonly rootfsPropagation: Propagation | undefined;
  /** Absolute. */
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly mountLabel: string | undefined;
  readonly personality:
    | { readonly domain: "LINUX" | "LINUX32"; readonly flags: readonly string[] }
    | undefined;
  /** Present in the file; refused by the planner. */
  readonly intelRdt: boolean;
  readonly memoryPolicy: boolean;
  readonly timeOffsets: boolean;
  readonly netDevices: boolean;
};

/** A rule of the device cgroup; a number that is absent stands for all. */
export type DeviceRule = {
  readonly allow: boolean;
  readonly type: "all" | "char" | "block";
  readonly major: number | undefined;
  readonly minor: number | undefined;
  /** "r", "w" and "m" in this order, at least one. */
  readonly access: string;
};

/** Bytes; -1 is unlimited. */
export type MemoryResources = {
  readonly limit: bigint | undefined;
  readonly reservation: bigint | undefined;
  /** Memory and swap together. */
  readonly swap: bigint | undefined;
  /** 0 to 100. */
  readonly swappiness: number | undefined;
  readonly disableOomKiller: boolean;
  readonly useHierarchy: boolean | undefined;
  readonly checkBeforeUpdate: boolean;
  /** `kernel` or `kernelTCP` is there: kernels of today have no such limits. */
  readonly kernelMemory: boolean;
};

/** Times in microseconds. */
export type CpuResources = {
  readonly shares: bigint | undefined;
  readonly quota: bigint | undefined;
  readonly burst: bigint | undefined;
  readonly period: bigint | undefined;
  readonly realtimeRuntime: bigint | undefined;
  readonly realtimePeriod: bigint | undefined;
  readonly idle: bigint | undefined;
  readonly cpus: string | undefined;
  readonly mems: string | undefined;
};

export type WeightDevice = {
  readonly major: number;
  readonly minor: number;
  readonly weight: number | undefined;
  readonly leafWeight: number | undefined;
};

export type ThrottleDevice = { readonly major: number; readonly minor: number; readonly rate: bigint };

export type BlockIoResources = {
  /** 10 to 1000; 0 is unset. */
  readonly weight: number | undefined;
  readonly leafWeight: number | undefined;
  readonly weightDevice: readonly WeightDevice[];
  /** Bytes a second. */
  readonly throttleReadBpsDevice: readonly ThrottleDevice[];
  readonly throttleWriteBpsDevice: readonly ThrottleDevice[];
  /** Operations a second. */
  readonly throttleReadIopsDevice: readonly ThrottleDevice[];
  readonly throttleWriteIopsDevice: readonly ThrottleDevice[];
};

export type ResourcesConfig = {
  /** undefined: the file has no list (an update then leaves the rules alone). */
  readonly devices: readonly DeviceRule[] | undefined;
  readonly memory: MemoryResources | undefined;
  readonly cpu: CpuResources | undefined;
  /** Most processes; 0 and less: no limit. */
  readonly pidsLimit: bigint | undefined;
  readonly blockIo: BlockIoResources | undefined;
  /** Page size as "2MB", limit in bytes. */
  readonly hugepageLimits: readonly { readonly pageSize: string; readonly limit: bigint }[];
  readonly network:
    | {
        readonly classId: number | undefined;
        readonly priorities: readonly { readonly name: string; readonly priority: number }[];
      }
    | undefined;
  readonly rdma: ReadonlyMap<
    string,
    { readonly handles: number | undefined; readonly objects: number | undefined }
  >;
  /** Files of cgroup v2 and what to write. */
  readonly unified: ReadonlyMap<string, string>;
};

export const SECCOMP_ACTIONS = [
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
] as const;

export type SeccompActionName = (typeof SECCOMP_ACTIONS)[number];

export const SECCOMP_OPERATORS = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
] as const;

export type SeccompOperator = (typeof SECCOMP_OPERATORS)[number];

export type SeccompArgument = {
  /** 0 to 5. */
  readonly index: number;
  /** 64 bits, unsigned. */
  readonly value: bigint;
  readonly valueTwo: bigint;
  readonly op: SeccompOperator;
};

export type SeccompSyscalls = {
  readonly names: readonly string[];
  readonly action: SeccompActionName;
  readonly errnoRet: number | undefined;
  readonly args: readonly SeccompArgument[];
};

export type SeccompConfig = {
  readonly defaultAction: SeccompActionName;
  readonly defaultErrnoRet: number | undefined;
  /** "SCMP_ARCH_X86_64" ... */
  readonly architectures: readonly string[];
  readonly flags: readonly string[];
  readonly listenerPath: string | undefined;
  readonly listenerMetadata: string | undefined;
  readonly syscalls: readonly SeccompSyscalls[];
};
