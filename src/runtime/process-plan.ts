import { fromText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import {
  type ProcessConfig,
  RLIMITS,
  type RuntimeConfig,
  type SeccompConfig,
} from "../formats/oci/runtime-config/types.ts";
import { capabilityBit, planCapabilities } from "./capability-plan.ts";
import { programEnvironment } from "./environment.ts";
import type { HostFacts } from "./host-facts.ts";
import { unsupported } from "./mount-options.ts";
import { add, type Draft, request } from "./mount-plan.ts";
import type { Action } from "./operations.ts";
import { normaliseSeccomp, type SeccompProfile } from "./seccomp-plan.ts";

/** crun's annotation, which Podman sets: "1" leaves the groups of the caller to the container. */
export const KEEP_GROUPS = "run.oci.keep_original_groups";

/**
 * The runtime's own groups, as numbers of the container's user namespace, for a container that is to keep them: liblxc drops them, and
 * so does joining a user namespace. Undefined: it has those of its user.
 * @throws AtomfsError "unsupported" for a group that has no number there: it could not be given back
 */
export function keptGroups(
  { annotations, linux }: RuntimeConfig,
  host: HostFacts,
): readonly number[] | undefined {
  if (annotations.get(KEEP_GROUPS) !== "1") return undefined;
  if (linux.gidMappings.length === 0) return host.groups;
  return host.groups.map((group) => {
    const map = linux.gidMappings.find(({ hostId, size }) => group >= hostId && group < hostId + size);
    if (map === undefined)
      unsupported(`annotations.${KEEP_GROUPS}`, `the caller's group ${group} is not in linux.gidMappings`);
    return map.containerId + group - map.hostId;
  });
}

/**
 * What the OOM score is to be, as far as the machine lets the runtime lower it; nothing if none is asked for. Inside of a user
 * namespace no process may lower its own.
 */
export function oomScoreOf({ oomScoreAdj }: ProcessConfig, host: HostFacts): number | undefined {
  return oomScoreAdj === undefined ? undefined : Math.max(oomScoreAdj, host.lowestOomScore);
}

/**
 * The container's session keyring in place of the caller's: by its name a process that joins the container finds the one that
 * `create` made. A kernel that has no keyrings has none to hide; every other failure is one, also a full quota, as with runc.
 */
export function planKeyring(id: string, searchable: boolean, draft: Draft): void {
  add(draft, { kind: "set-session-keyring", name: fromText(`_ses.${id}`), searchable }, "ignore-absent");
}

export type ProcessContext = {
  readonly host: HostFacts;
  readonly seccomp: SeccompConfig | undefined;
  readonly inUserNamespace: boolean;
  readonly personality:
    | { readonly domain: "LINUX" | "LINUX32"; readonly flags: readonly string[] }
    | undefined;
  /** `keptGroups` */
  readonly keptGroups: readonly number[] | undefined;
  /** How many descriptors from 3 on the program inherits. */
  readonly preserveDescriptors: number;
  /** Of the user, from the container's /etc/passwd: HOME, if the environment has none. */
  readonly home: string;
  /** Normalised rules to a program for the kernel; only its result goes into the plan. */
  readonly compileSeccomp: (profile: SeccompProfile) => Uint8Array;
  /** startContainer hooks: what they execute is the image's, so they have what the program has, and no more. */
  readonly hooks?: readonly Action[];
};

/**
 * The last part of a program, from the limits to the exec, for the container's process and for `exec`; `planLabels` comes before.
 * @throws AtomfsError "unsupported" for what the machine or this runtime cannot do and the container would be weaker without
 */
export function planProcess(process: ProcessConfig, context: ProcessContext, draft: Draft): void {
  checkProcess(process, context);
  planRlimits(process, context, draft);
  const { uid, gid, umask, additionalGids } = process.user;
  add(draft, { kind: "set-umask", mask: umask ?? 0o022 });
  if (context.personality !== undefined)
    add(draft, {
      kind: "set-personality",
      value: context.personality.domain === "LINUX32" ? PER_LINUX32 : 0,
    });
  add(draft, { kind: "set-groups", groups: context.keptGroups ?? additionalGids });
  add(draft, { kind: "change-directory", path: fromText(process.cwd), create: false });
  // Without no_new_privs loading takes CAP_SYS_ADMIN; with it the filter comes last, so that it binds nothing of ours.
  if (!process.noNewPrivileges) planSeccomp(context, draft);
  const capabilities = planCapabilities(
    process.capabilities,
    context.host,
    context.inUserNamespace,
    (warning) => draft.warnings.push(warning),
  );
  add(draft, { kind: "set-identity", uid, gid, capabilities });
  if (process.noNewPrivileges) {
    add(draft, { kind: "set-no-new-privileges" });
    planSeccomp(context, draft);
  }
  for (const hook of context.hooks ?? []) add(draft, hook);
  add(draft, {
    kind: "execute",
    args: process.args.map(fromText),
    env: programEnvironment(process.env, () => context.home).map(fromText),
    descriptors: Array.from({ length: context.preserveDescriptors }, (_, i) =>
      request(draft, { kind: "inherited", number: FIRST_PRESERVED + i }),
    ),
  });
}

/** After stdio: what `--preserve-fds` counts from. */
const FIRST_PRESERVED = 3;

/** include/uapi/linux/personality.h */
const PER_LINUX32 = 8;

function checkProcess(process: ProcessConfig, { host, personality }: ProcessContext): void {
  if (process.scheduler) unsupported("process.scheduler", "not implemented");
  if (process.ioPriority) unsupported("process.ioPriority", "not implemented");
  if (process.execCPUAffinity) unsupported("process.execCPUAffinity", "not implemented");
  if ((personality?.flags.length ?? 0) > 0) unsupported("linux.personality.flags", "no flag is supported");
  if (process.apparmorProfile !== undefined && process.apparmorProfile !== "unconfined" && !host.apparmor)
    unsupported("process.apparmorProfile", "AppArmor is not enabled on this machine");
  if (process.selinuxLabel !== undefined && !host.selinux)
    unsupported("process.selinuxLabel", "SELinux is not enabled on this machine");
  if (process.apparmorProfile !== undefined && process.selinuxLabel !== undefined && host.apparmor)
    unsupported("process.selinuxLabel", "it cannot be set together with process.apparmorProfile");
  for (const [i, variable] of process.env.entries()) {
    if (!/^[^=]+=/s.test(variable))
      throw new AtomfsError("bad-data", `Cannot use config.json: process.env[${i}] is not NAME=value`);
  }
}

/** What the machine cannot raise is raised as far as it can: the container may do less than asked, never more. */
function planRlimits(process: ProcessConfig, { host, inUserNamespace }: ProcessContext, draft: Draft): void {
  const bit = capabilityBit("CAP_SYS_RESOURCE");
  // The player sets them in the container's user namespace, whose capabilities count for nothing here.
  const mayRaise = !inUserNamespace && (host.capabilities.effective & bit) !== 0n;
  for (const { type, soft, hard } of process.rlimits) {
    const resource = RLIMITS[type];
    const most = host.hardLimits.get(resource);
    if (mayRaise || most === undefined || hard <= most) {
      add(draft, { kind: "set-rlimit", resource, soft, hard });
      continue;
    }
    draft.warnings.push(
      `process.rlimits: ${type} is ${most}, not ${hard}: raising it takes CAP_SYS_RESOURCE`,
    );
    add(draft, { kind: "set-rlimit", resource, soft: soft < most ? soft : most, hard: most });
  }
}

/** What the kernel changes to at the next exec. It takes none that is not loaded: an error that engines want of `create`. */
export function planLabels(process: ProcessConfig, host: HostFacts, draft: Draft): void {
  const { apparmorProfile, selinuxLabel } = process;
  if (apparmorProfile !== undefined && host.apparmor)
    add(draft, { kind: "set-exec-label", lsm: "apparmor", label: fromText(apparmorProfile) });
  if (selinuxLabel !== undefined)
    add(draft, { kind: "set-exec-label", lsm: "selinux", label: fromText(selinuxLabel) });
}

function planSeccomp({ seccomp, host, compileSeccomp }: ProcessContext, draft: Draft): void {
  if (seccomp === undefined) return;
  const profile = normaliseSeccomp(seccomp, host.seccompActions);
  draft.warnings.push(...profile.warnings);
  add(draft, { kind: "load-seccomp", filter: compileSeccomp(profile.profile), flags: profile.flags });
}
