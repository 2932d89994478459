import { AtomfsError } from "../core/errors.ts";
import {
  SECCOMP_ACTIONS,
  type SeccompActionName,
  type SeccompArgument,
  type SeccompConfig,
} from "../formats/oci/runtime-config/types.ts";
import { unsupported } from "./mount-options.ts";

/** What a filter returns: a value of include/uapi/linux/seccomp.h, with the errno in its low 16 bits. */
export type SeccompReturn = number;

export type SeccompRule = {
  readonly syscall: string;
  readonly returns: SeccompReturn;
  /** All must hold; each of another argument. */
  readonly conditions: readonly SeccompArgument[];
};

/** A profile without anything that is left to decide; two profiles with the same JSON text have the same filter. */
export type SeccompProfile = {
  readonly defaultReturns: SeccompReturn;
  /** The default's errno is the file's own, not the one that every profile has. */
  readonly explicitErrno: boolean;
  /** libseccomp's names, "x86_64"; empty: the machine's own. */
  readonly architectures: readonly string[];
  readonly rules: readonly SeccompRule[];
};

const EPERM = 1;
/** Needs somebody who listens, which is not implemented. */
const LISTENER_ACTION = "SCMP_ACT_NOTIFY";

/** The value and the kernel's name in actions_avail. */
const ACTIONS: { readonly [name in SeccompActionName]: readonly [value: number, kernelName: string] } = {
  SCMP_ACT_KILL: [0x00000000, "kill_thread"],
  SCMP_ACT_KILL_THREAD: [0x00000000, "kill_thread"],
  SCMP_ACT_KILL_PROCESS: [0x80000000, "kill_process"],
  SCMP_ACT_TRAP: [0x00030000, "trap"],
  SCMP_ACT_ERRNO: [0x00050000, "errno"],
  SCMP_ACT_TRACE: [0x7ff00000, "trace"],
  SCMP_ACT_LOG: [0x7ffc0000, "log"],
  SCMP_ACT_ALLOW: [0x7fff0000, "allow"],
  SCMP_ACT_NOTIFY: [0x7fc00000, "user_notif"],
};

/** libseccomp's names (seccomp_arch_resolve_name) of runtime-spec's. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  SCMP_ARCH_X86: "x86",
  SCMP_ARCH_X86_64: "x86_64",
  SCMP_ARCH_X32: "x32",
  SCMP_ARCH_ARM: "arm",
  SCMP_ARCH_AARCH64: "aarch64",
  SCMP_ARCH_LOONGARCH64: "loongarch64",
  SCMP_ARCH_M68K: "m68k",
  SCMP_ARCH_MIPS: "mips",
  SCMP_ARCH_MIPS64: "mips64",
  SCMP_ARCH_MIPS64N32: "mips64n32",
  SCMP_ARCH_MIPSEL: "mipsel",
  SCMP_ARCH_MIPSEL64: "mipsel64",
  SCMP_ARCH_MIPSEL64N32: "mipsel64n32",
  SCMP_ARCH_PPC: "ppc",
  SCMP_ARCH_PPC64: "ppc64",
  SCMP_ARCH_PPC64LE: "ppc64le",
  SCMP_ARCH_S390: "s390",
  SCMP_ARCH_S390X: "s390x",
  SCMP_ARCH_SH: "sh",
  SCMP_ARCH_SHEB: "sheb",
  SCMP_ARCH_PARISC: "parisc",
  SCMP_ARCH_PARISC64: "parisc64",
  SCMP_ARCH_RISCV64: "riscv64",
};

/** Bits for seccomp(2). */
const FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
};

/** What `normaliseSeccomp` takes on a kernel with these actions. */
export function knownSeccomp(kernelActions: readonly string[]): {
  readonly actions: readonly string[];
  readonly architectures: readonly string[];
  readonly flags: readonly string[];
} {
  const known = SECCOMP_ACTIONS.filter((name) => name !== LISTENER_ACTION);
  return {
    actions: known.filter((name) => kernelActions.includes(ACTIONS[name][1])),
    architectures: Object.keys(ARCHITECTURES),
    flags: Object.keys(FLAGS),
  };
}

/**
 * @param kernelActions names in actions_avail
 * @throws AtomfsError "unsupported" for a listener, and for actions and flags that the kernel or this runtime lacks; "bad-data"
 * for names of architectures that do not exist
 */
export function normaliseSeccomp(
  config: SeccompConfig,
  kernelActions: readonly string[],
): { readonly profile: SeccompProfile; readonly flags: number; readonly warnings: readonly string[] } {
  if (config.listenerPath !== undefined)
    unsupported("linux.seccomp.listenerPath", "notification is not implemented");
  const value = (action: SeccompActionName, errno: number | undefined, field: string): SeccompReturn => {
    if (action === LISTENER_ACTION) unsupported(field, "notification is not implemented");
    const [returns, kernelName] = ACTIONS[action];
    if (!kernelActions.includes(kernelName))
      unsupported(field, `the kernel does not have the action "${kernelName}"`);
    const takesErrno = action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
    return takesErrno ? returns + (errno ?? EPERM) : returns;
  };
  const defaultReturns = value(config.defaultAction, config.defaultErrnoRet, "linux.seccomp.defaultAction");
  const warnings: string[] = [];
  const rules: SeccompRule[] = [];
  for (const [i, { names, action, errnoRet, args }] of config.syscalls.entries()) {
    const returns = value(action, errnoRet, `linux.seccomp.syscalls[${i}].action`);
    // It says what happens anyway, and libseccomp refuses it.
    if (returns === defaultReturns) continue;
    const repeated = new Set(args.map(({ index }) => index)).size < args.length;
    if (repeated)
      warnings.push(`linux.seccomp.syscalls[${i}].args: one argument twice: each is a rule of its own`);
    // Filters cannot hold two conditions on one argument; runc and crun take them as alternatives.
    const alternatives = repeated ? args.map((argument) => [argument]) : [args];
    for (const syscall of names) {
      for (const conditions of alternatives) rules.push({ syscall, returns, conditions });
    }
  }
  const profile = {
    defaultReturns,
    explicitErrno: config.defaultErrnoRet !== undefined,
    architectures: config.architectures.map(architectureName),
    rules,
  };
  return { profile, flags: config.flags.reduce((flags, name) => flags | flagBit(name), 0), warnings };
}

function architectureName(name: string, index: number): string {
  const found = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined;
  if (found === undefined) {
    const field = `linux.seccomp.architectures[${index}]`;
    throw new AtomfsError("bad-data", `Cannot use config.json: ${field} is ${name}, which does not exist`);
  }
  return found;
}

function flagBit(name: string): number {
  const bit = Object.hasOwn(FLAGS, name) ? FLAGS[name] : undefined;
  return (
    bit ?? unsupported("linux.seccomp.flags", `${JSON.stringify(name.slice(0, 100))} is not implemented`)
  );
}
