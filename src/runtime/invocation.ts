/** Options before the verb. */
export type GlobalOptions = {
  /** Where the state directories are. */
  readonly root: string;
  readonly log: string | undefined;
  readonly logFormat: "text" | "json";
  /** What is less bad is not logged. */
  readonly logLevel: "error" | "warning" | "info" | "debug";
  readonly cgroupManager: "cgroupfs" | "systemd";
};

export type CreateOptions = {
  readonly id: string;
  readonly bundle: string;
  readonly pidFile: string | undefined;
  readonly consoleSocket: string | undefined;
  readonly pidfdSocket: string | undefined;
  readonly preserveDescriptors: number;
  readonly noPivot: boolean;
  readonly noNewKeyring: boolean;
};

export type ExecOptions = {
  readonly id: string;
  /** Undefined: what --process names is run. */
  readonly command: readonly string[] | undefined;
  readonly processFile: string | undefined;
  readonly detach: boolean;
  readonly tty: boolean | undefined;
  readonly pidFile: string | undefined;
  readonly consoleSocket: string | undefined;
  readonly pidfdSocket: string | undefined;
  readonly cwd: string | undefined;
  readonly env: readonly string[];
  readonly user: string | undefined;
  readonly additionalGids: readonly number[];
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean | undefined;
  readonly apparmor: string | undefined;
  readonly processLabel: string | undefined;
  readonly preserveDescriptors: number;
  readonly cgroup: string | undefined;
  readonly ignorePaused: boolean;
};

/** Scalar options of `update`, by their names on the command line. */
export const UPDATE_SCALARS = [
  "blkio-weight",
  "cpu-burst",
  "cpu-idle",
  "cpu-period",
  "cpu-quota",
  "cpu-rt-period",
  "cpu-rt-runtime",
  "cpu-share",
  "cpu-shares",
  "cpuset-cpus",
  "cpuset-mems",
  "kernel-memory",
  "kernel-memory-tcp",
  "memory",
  "memory-reservation",
  "memory-swap",
  "pids-limit",
] as const;
export type UpdateScalar = (typeof UPDATE_SCALARS)[number];

export type Invocation =
  | { readonly verb: "version" | "features" }
  | { readonly verb: "help"; readonly of: string | undefined }
  | ({ readonly verb: "create" } & CreateOptions)
  | ({ readonly verb: "run"; readonly detach: boolean; readonly keep: boolean } & CreateOptions)
  | { readonly verb: "start" | "state" | "pause" | "resume"; readonly id: string }
  | { readonly verb: "kill"; readonly id: string; readonly signal: number; readonly all: boolean }
  | { readonly verb: "delete"; readonly id: string; readonly force: boolean }
  | { readonly verb: "list"; readonly format: "table" | "json"; readonly quiet: boolean }
  | {
      readonly verb: "ps";
      readonly id: string;
      readonly format: "table" | "json";
      readonly psArguments: readonly string[];
    }
  | {
      readonly verb: "update";
      readonly id: string;
      /** A file of LinuxResources, "-" is stdin. */
      readonly resources: string | undefined;
      readonly scalars: ReadonlyMap<UpdateScalar, string>;
    }
  | ({ readonly verb: "exec" } & ExecOptions)
  | { readonly verb: "events"; readonly id: string; readonly once: boolean; readonly intervalMs: number }
  | { readonly verb: "spec"; readonly bundle: string };
