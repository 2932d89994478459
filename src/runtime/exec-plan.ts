import { AtomfsError } from "../core/errors.ts";
import type { NamespaceType, ProcessConfig, RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import type { HostFacts } from "./host-facts.ts";
import type { ExecOptions } from "./invocation.ts";
import { add, type Draft, namespaceOf, request } from "./mount-plan.ts";
import { keptGroups, type ProcessContext, planKeyring, planLabels, planProcess } from "./process-plan.ts";

/** A program for the player that joins a running container. Its first descriptor is the pidfd of the container's init. */
export type ExecPlan = Draft;

/** include/uapi/linux/sched.h */
const CLONE_FLAGS: Readonly<Record<NamespaceType, number>> = {
  time: 0x80,
  mount: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
};

export type ExecPlanOptions = Pick<ProcessContext, "preserveDescriptors" | "home" | "compileSeccomp"> & {
  /** The container's id; undefined: it was created with --no-new-keyring. */
  readonly keyringOf: string | undefined;
};

/**
 * @param different namespaces of init that are not the runtime's own
 * @param process what to run: of --process, or made by `commandProcess`
 */
export function planExec(
  config: RuntimeConfig,
  process: ProcessConfig,
  different: readonly NamespaceType[],
  pidfd: number,
  host: HostFacts,
  options: ExecPlanOptions,
): ExecPlan {
  const draft: Draft = { operations: [], descriptors: [], warnings: [] };
  const index = request(draft, { kind: "inherited", number: pidfd });
  // It enters the container's cgroups while it can still be seen.
  add(draft, { kind: "await-launcher" });
  const namespaces = different.reduce((flags, name) => flags | CLONE_FLAGS[name], 0);
  add(draft, { kind: "join-namespaces", pidfd: index, namespaces });
  if (options.keyringOf !== undefined) planKeyring(options.keyringOf, false, draft);
  if (process.terminal) {
    const socket = request(draft, { kind: "console-socket" });
    const { height = 0, width = 0 } = process.consoleSize ?? {};
    add(draft, { kind: "open-console", socket, rows: height, columns: width, bindConsole: false });
  }
  planLabels(process, host, draft);
  planProcess(
    process,
    {
      host,
      seccomp: config.linux.seccomp,
      inUserNamespace: namespaceOf(config, "user") !== undefined,
      personality: config.linux.personality,
      keptGroups: keptGroups(config, host),
      ...options,
    },
    draft,
  );
  return draft;
}

/** The container's own process with another command and what the command line says. @throws AtomfsError "usage" */
export function commandProcess(config: RuntimeConfig, options: ExecOptions): ProcessConfig {
  const base = config.process;
  if (options.command === undefined) {
    throw new AtomfsError("usage", "exec needs a command or --process FILE: process args cannot be empty");
  }
  if (base === undefined) {
    throw new AtomfsError("usage", "exec of a container without process needs --process FILE");
  }
  const process: ProcessConfig = { ...base, terminal: false, consoleSize: undefined, args: options.command };
  return withOptions(process, options);
}

/**
 * A process that --process names has the container's own where its document says nothing: a process in a container is confined as
 * the container is. Not `noNewPrivileges`, where nothing is "no", and not the umask, which confines nothing: runc has 022 there.
 */
export function withContainers(process: ProcessConfig, config: RuntimeConfig): ProcessConfig {
  const own = config.process;
  if (own === undefined) return process;
  return {
    ...process,
    capabilities: process.capabilities ?? own.capabilities,
    rlimits: process.rlimits.length === 0 ? own.rlimits : process.rlimits,
    apparmorProfile: process.apparmorProfile ?? own.apparmorProfile,
    selinuxLabel: process.selinuxLabel ?? own.selinuxLabel,
    oomScoreAdj: process.oomScoreAdj ?? own.oomScoreAdj,
  };
}

/** What the command line says counts, also beside --process. */
export function withOptions(process: ProcessConfig, options: ExecOptions): ProcessConfig {
  const { capabilities, additionalGids, env } = options;
  const user = options.user === undefined ? process.user : { ...process.user, ...parseUser(options.user) };
  return {
    ...process,
    terminal: options.tty ?? process.terminal,
    cwd: options.cwd ?? process.cwd,
    env: [...process.env, ...env],
    user: { ...user, additionalGids: [...user.additionalGids, ...additionalGids] },
    noNewPrivileges: options.noNewPrivileges ?? process.noNewPrivileges,
    apparmorProfile: options.apparmor ?? process.apparmorProfile,
    selinuxLabel: options.processLabel ?? process.selinuxLabel,
    capabilities: capabilities.length === 0 ? process.capabilities : withCapabilities(process, capabilities),
  };
}

/** Those that are named are added, as in runc: not to what is inherited, which would outlive a change of user. */
function withCapabilities(process: ProcessConfig, names: readonly string[]): ProcessConfig["capabilities"] {
  const { bounding, effective, permitted, inheritable, ambient } = process.capabilities ?? NO_CAPABILITIES;
  return {
    bounding: [...bounding, ...names],
    effective: [...effective, ...names],
    permitted: [...permitted, ...names],
    inheritable,
    ambient,
  };
}

const NO_CAPABILITIES = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };

/** "UID" or "UID:GID", in digits: a name that were read as 0 would be root. */
function parseUser(text: string): { readonly uid: number; readonly gid?: number } {
  const match = /^([0-9]{1,10})(?::([0-9]{1,10}))?$/.exec(text);
  const uid = Number(match?.[1]);
  const gid = match?.[2] === undefined ? undefined : Number(match[2]);
  if (match === null || uid > 0xfffffffe || (gid ?? 0) > 0xfffffffe) {
    throw new AtomfsError("usage", `--user wants UID or UID:GID in digits, not ${JSON.stringify(text)}`);
  }
  return gid === undefined ? { uid } : { uid, gid };
}
