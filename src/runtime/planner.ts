import { fromText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { refuse } from "../formats/oci/runtime-config/reader.ts";
import type { NamespaceType, ProcessConfig, RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import { planCapabilities } from "./capability-plan.ts";
import { cgroupOwner } from "./cgroup-owner.ts";
import { type CgroupPlan, planCgroups } from "./cgroup-plan.ts";
import { ownsDev, planDevices } from "./device-plan.ts";
import type { HostFacts } from "./host-facts.ts";
import { planLxcConfig } from "./lxc-config.ts";
import { unsupported } from "./mount-options.ts";
import { add, type Draft, isNew, namespaceOf, planMounts, request } from "./mount-plan.ts";
import type { Action } from "./operations.ts";
import type { LaunchPlan } from "./plan.ts";
import { keptGroups, oomScoreOf, planKeyring, planLabels, planProcess } from "./process-plan.ts";
import { refuseFields } from "./refused-fields.ts";
import type { SeccompProfile } from "./seccomp-plan.ts";
import { planSysctls } from "./sysctl-plan.ts";

export type LaunchOptions = {
  readonly id: string;
  /** Absolute. */
  readonly bundle: string;
  /** Absolute and real: the root that the container gets, whatever root.path says. */
  readonly rootfs: string;
  readonly consoleSocket: boolean;
  readonly preserveDescriptors: number;
  readonly systemdCgroup: boolean;
  readonly noNewKeyring: boolean;
  readonly noPivot: boolean;
  /** Types of namespaces that the file gives by path and that are the runtime's own: nothing is to be joined. */
  readonly ownNamespaces: ReadonlySet<NamespaceType>;
  /** Types of namespaces that the file gives by path and that are the host's: what is set there is set for all. */
  readonly hostNamespaces: ReadonlySet<NamespaceType>;
  /** Of the process's user, as the root's /etc/passwd has it: HOME, if the environment has none. runc takes "/" for unknown users. */
  readonly home: string;
  /** Rules to BPF. The only thing here that is not data: the planner calls it and puts the result into the program. */
  readonly compileSeccomp: (profile: SeccompProfile) => Uint8Array;
};

/** A program has at most 512 descriptors in all (docs/formats/launch-program.md). */
const MAX_PRESERVED = 256;

/**
 * What it takes to create and start this container on this machine: the same input gives the same plan.
 * @throws AtomfsError "bad-data" for a file that contradicts itself, "unsupported" (naming the field) for what this machine or this
 * runtime cannot do and the container would be weaker without
 */
export function planLaunch(config: RuntimeConfig, host: HostFacts, options: LaunchOptions): LaunchPlan {
  refuseFields(config);
  checkConfig(config, host, options);
  const { linux, hooks, process } = config;
  const cgroups = planCgroups(
    linux.resources,
    linux.cgroupsPath,
    host.cgroups,
    options.id,
    options.systemdCgroup ? config.annotations : undefined,
  );
  const draft: Draft = { operations: [], descriptors: [], warnings: [] };
  if (namespaceOf(config, "mount") === undefined)
    draft.warnings.push(
      "linux.namespaces: a mount namespace is made, though none is listed: else the host's root would change",
    );
  const lxcConfig = planLxcConfig(config, host, options, [
    ...cgroups.lxcConfig,
    ...oomScoreLines(config, host),
  ]);
  planCreation(config, host, options, cgroups, draft);
  add(draft, { kind: "await-start" });
  planStart(config, host, options, draft);
  return {
    lxcConfig,
    program: { operations: draft.operations },
    descriptors: draft.descriptors,
    cgroups,
    cgroupOwner: cgroupOwner(config, host.cgroups.layout),
    hooks: {
      prestart: hooks.prestart,
      createRuntime: hooks.createRuntime,
      poststart: hooks.poststart,
      poststop: hooks.poststop,
    },
    join: linux.namespaces.flatMap(({ type, path }) => (path === undefined ? [] : [{ type, path }])),
    inUserNamespace: namespaceOf(config, "user") !== undefined,
    warnings: draft.warnings,
    state: {
      id: options.id,
      ociVersion: config.ociVersion,
      bundle: options.bundle,
      rootfs: options.rootfs,
      annotations: config.annotations,
      hasProcess: process !== undefined,
      terminal: process?.terminal ?? false,
      ownPidNamespace: isNew(config, "pid"),
      systemdCgroup: options.systemdCgroup,
    },
  };
}

function checkConfig(config: RuntimeConfig, host: HostFacts, options: LaunchOptions): void {
  const terminal = config.process?.terminal ?? false;
  if (config.root === undefined) refuse("root", "is missing");
  if (terminal && !options.consoleSocket)
    throw new AtomfsError(
      "usage",
      "Cannot make a terminal: cannot allocate tty if crio-lxc will detach without setting console socket (--console-socket)",
    );
  const { preserveDescriptors } = options;
  if (
    !Number.isInteger(preserveDescriptors) ||
    preserveDescriptors < 0 ||
    preserveDescriptors > MAX_PRESERVED
  )
    throw new AtomfsError("usage", `Cannot preserve descriptors: want 0 to ${MAX_PRESERVED}`);
  if (!terminal && options.consoleSocket)
    throw new AtomfsError("usage", "Cannot use --console-socket: process.terminal is not set");
  const uts = namespaceOf(config, "uts") !== undefined;
  if (config.hostname !== undefined && !uts) refuse("hostname", "is set, but there is no UTS namespace");
  if (config.domainname !== undefined && !uts) refuse("domainname", "is set, but there is no UTS namespace");
  if (config.linux.mountLabel !== undefined && !host.selinux)
    unsupported("linux.mountLabel", "SELinux is not enabled on this machine");
}

/** What is done before the container counts as created, in the order that runc has. */
function planCreation(
  config: RuntimeConfig,
  host: HostFacts,
  options: LaunchOptions,
  cgroups: CgroupPlan,
  draft: Draft,
): void {
  const { linux, process } = config;
  const root = fromText("/");
  // Limits are set and the host's hooks run before anything of the container happens.
  add(draft, { kind: "await-launcher" });
  planCgroupNamespace(config, options, draft);
  // liblxc leaves everything shared. A container's mounts reach no other place unless that is asked for, one by one.
  const propagation = linux.rootfsPropagation?.kind ?? "slave";
  add(draft, { kind: "set-propagation", path: root, propagation: "private", recursive: true });
  planMounts({ config, host, bundle: options.bundle, cgroupPath: cgroups.path }, draft);
  planDevices(config, draft);
  planCreateContainer(config, options, draft);
  if (process?.terminal) planConsole(config, process, draft);
  if (process !== undefined)
    add(draft, { kind: "change-directory", path: fromText(process.cwd), create: true });
  if (config.hostname !== undefined) add(draft, { kind: "set-hostname", name: fromText(config.hostname) });
  if (config.domainname !== undefined)
    add(draft, { kind: "set-domainname", name: fromText(config.domainname) });
  planSysctls(config, options.hostNamespaces, draft);
  for (const path of linux.readonlyPaths)
    add(draft, { kind: "make-path-readonly", path: fromText(path) }, "ignore-absent");
  for (const path of linux.maskedPaths)
    add(draft, { kind: "mask-path", path: fromText(path) }, "ignore-absent");
  // What is mounted below a shared mount is shared, and nothing below an unbindable one can be bound: so when all are made.
  if (propagation === "unbindable" || propagation === "shared")
    add(draft, { kind: "set-propagation", path: root, propagation, recursive: false });
  if (config.root?.readonly) add(draft, { kind: "make-root-readonly" });
  if (process?.oomScoreAdj !== undefined) planOomScore(config, process, host, draft);
  if (!options.noNewKeyring) planKeyring(options.id, true, draft);
  if (process !== undefined) {
    planLabels(process, host, draft);
    planLookup(config, process, host, draft);
  }
  if (options.noPivot) draft.warnings.push("--no-pivot: LXC pivots always, which is the stronger way");
}

/**
 * liblxc never joins a cgroup namespace, and where it joins any other it makes a new one that nobody asked for (5.0.2). Out of a
 * user namespace there is no way back: there the container keeps it, which shows less.
 */
function planCgroupNamespace(config: RuntimeConfig, { ownNamespaces }: LaunchOptions, draft: Draft): void {
  const joins = config.linux.namespaces.some(
    ({ type, path }) => path !== undefined && type !== "cgroup" && !ownNamespaces.has(type),
  );
  const wanted = namespaceOf(config, "cgroup");
  if (wanted === undefined ? !joins : wanted.path === undefined) return;
  const namespace = request(draft, { kind: "namespace", path: wanted?.path ?? "/proc/self/ns/cgroup" });
  const confined = namespaceOf(config, "user") !== undefined;
  const onError = wanted === undefined && confined ? "warn" : "fail";
  add(draft, { kind: "enter-namespace", namespace, type: CLONE_NEWCGROUP }, onError);
}

/** include/uapi/linux/sched.h */
const CLONE_NEWCGROUP = 0x2000000;

function planConsole(config: RuntimeConfig, process: ProcessConfig, draft: Draft): void {
  const socket = request(draft, { kind: "console-socket" });
  const { height = 0, width = 0 } = process.consoleSize ?? {};
  add(draft, { kind: "open-console", socket, rows: height, columns: width, bindConsole: ownsDev(config) });
}

/** A lower score than the machine lets us give makes the kernel end the container earlier than asked: weaker for nobody else. */
function planOomScore(config: RuntimeConfig, process: ProcessConfig, host: HostFacts, draft: Draft): void {
  const { oomScoreAdj: wanted } = process;
  const value = oomScoreOf(process, host);
  if (value === undefined) return;
  if (value !== wanted)
    draft.warnings.push(
      `process.oomScoreAdj: it is ${value}, not ${wanted}: lowering it takes CAP_SYS_RESOURCE`,
    );
  if (namespaceOf(config, "user") === undefined) add(draft, { kind: "set-oom-score", value });
}

/** In a user namespace the player cannot lower its score, whatever its capabilities are there: liblxc's parent of it can. */
function oomScoreLines(config: RuntimeConfig, host: HostFacts): [string, string][] {
  const value = config.process === undefined ? undefined : oomScoreOf(config.process, host);
  if (value === undefined || namespaceOf(config, "user") === undefined) return [];
  return [["lxc.proc.oom_score_adj", String(value)]];
}

/** Engines tell a command that does not exist (127) from one that does not run by what `create` says. */
function planLookup(config: RuntimeConfig, process: ProcessConfig, host: HostFacts, draft: Draft): void {
  const { uid, gid, additionalGids } = process.user;
  const inUserNamespace = namespaceOf(config, "user") !== undefined;
  // What is left out is warned of where the process is planned.
  const silent = (): void => undefined;
  const { effective } = planCapabilities(process.capabilities, host, inUserNamespace, silent);
  const variable = process.env.findLast((entry) => entry.startsWith("PATH=")) ?? "PATH=";
  add(draft, {
    kind: "find-executable",
    name: fromText(process.args[0] ?? ""),
    searchPath: fromText(variable.slice("PATH=".length)),
    uid,
    gid,
    effective,
    groups: keptGroups(config, host) ?? additionalGids,
  });
}

/** Of poll(2): 24 days. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** In the container's namespaces, but in the runtime's tree, where the container's is at the place that the bundle says. */
function planCreateContainer(config: RuntimeConfig, options: LaunchOptions, draft: Draft): void {
  if (config.hooks.createContainer.length === 0) return;
  if (namespaceOf(config, "mount")?.path !== undefined)
    unsupported("hooks.createContainer", "in a mount namespace that others use, their root would change");
  const tree = request(draft, { kind: "runtime-tree" });
  add(draft, { kind: "enter-runtime-tree", tree, container: fromText(options.rootfs) });
  for (const hook of hooksOf("createContainer", "creating", config, options)) add(draft, hook);
  add(draft, { kind: "leave-runtime-tree" });
}

function hooksOf(
  stage: "createContainer" | "startContainer",
  status: "creating" | "created",
  config: RuntimeConfig,
  options: LaunchOptions,
): Action[] {
  return config.hooks[stage].map(({ path, args, env, timeout }, i) => ({
    kind: "run-hook",
    path: fromText(path),
    args: (args.length === 0 ? [path] : args).map(fromText),
    env: env.map(fromText),
    state: hookState(status, config, options),
    timeoutMs: Math.min((timeout ?? 0) * 1000, MAX_TIMEOUT_MS),
    name: fromText(`${stage} hook #${i}`),
  }));
}

function planStart(config: RuntimeConfig, host: HostFacts, options: LaunchOptions, draft: Draft): void {
  // One without a process cannot be started.
  if (config.process === undefined) return;
  planProcess(
    config.process,
    {
      host,
      seccomp: config.linux.seccomp,
      inUserNamespace: namespaceOf(config, "user") !== undefined,
      personality: config.linux.personality,
      keptGroups: keptGroups(config, host),
      preserveDescriptors: options.preserveDescriptors,
      home: options.home,
      compileSeccomp: options.compileSeccomp,
      hooks: hooksOf("startContainer", "created", config, options),
    },
    draft,
  );
}

/**
 * The state that hooks inside the container get: the process's number is that of its own PID namespace, as in runc, and is left
 * out where only the kernel knows it.
 */
function hookState(
  status: "creating" | "created",
  config: RuntimeConfig,
  { id, bundle }: LaunchOptions,
): Uint8Array {
  const pid = isNew(config, "pid") ? { pid: 1 } : {};
  const annotations = Object.fromEntries(config.annotations);
  const state = { ociVersion: config.ociVersion, id, status, ...pid, bundle, annotations };
  return Buffer.from(JSON.stringify(state));
}
