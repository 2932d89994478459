import type { Field } from "./reader.ts";
import {
  HOOK_POINTS,
  type HookConfig,
  type HooksConfig,
  type ProcessConfig,
  RLIMITS,
  type RlimitConfig,
  type RlimitName,
  type UserConfig,
} from "./types.ts";

/** Also what `exec --process` takes: a whole document of this form. */
export function readProcess(section: Field): ProcessConfig {
  const field = section.object(
    "terminal",
    "consoleSize",
    "user",
    "args",
    "commandLine",
    "env",
    "cwd",
    "capabilities",
    "rlimits",
    "noNewPrivileges",
    "apparmorProfile",
    "selinuxLabel",
    "oomScoreAdj",
    "scheduler",
    "ioPriority",
    "execCPUAffinity",
  );
  const args = field.args.texts();
  if (args.length === 0) field.args.refuse("is empty");
  return {
    terminal: field.terminal.flag(),
    consoleSize: field.consoleSize.optional(readConsoleSize),
    user: field.user.optional(readUser) ?? { uid: 0, gid: 0, umask: undefined, additionalGids: [] },
    args,
    env: field.env.texts(),
    cwd: field.cwd.absolutePath(),
    capabilities: field.capabilities.optional((capabilities) => {
      const sets = capabilities.object("bounding", "effective", "inheritable", "permitted", "ambient");
      return {
        bounding: sets.bounding.texts(),
        effective: sets.effective.texts(),
        inheritable: sets.inheritable.texts(),
        permitted: sets.permitted.texts(),
        ambient: sets.ambient.texts(),
      };
    }),
    rlimits: readRlimits(field.rlimits),
    noNewPrivileges: field.noNewPrivileges.flag(),
    apparmorProfile: field.apparmorProfile.optionalText(),
    selinuxLabel: field.selinuxLabel.optionalText(),
    oomScoreAdj: field.oomScoreAdj.optional((score) => score.number(-1000, 1000)),
    scheduler: !field.scheduler.absent,
    ioPriority: !field.ioPriority.absent,
    execCPUAffinity: !field.execCPUAffinity.absent,
  };
}

function readConsoleSize(size: Field): { height: number; width: number } {
  const field = size.object("height", "width");
  // struct winsize has 16 bits for each.
  return { height: field.height.number(0, 0xffff), width: field.width.number(0, 0xffff) };
}

/** The kernel keeps 2^32 - 1 for "no change". */
const MAX_ID = 2 ** 32 - 2;

function readUser(user: Field): UserConfig {
  const field = user.object("uid", "gid", "umask", "additionalGids", "username");
  return {
    uid: field.uid.optional((id) => id.number(0, MAX_ID)) ?? 0,
    gid: field.gid.optional((id) => id.number(0, MAX_ID)) ?? 0,
    umask: field.umask.optional((umask) => umask.number(0, 0o777)),
    additionalGids: field.additionalGids.list((id) => id.number(0, MAX_ID)),
  };
}

function readRlimits(rlimits: Field): RlimitConfig[] {
  const seen = new Set<string>();
  return rlimits.list((item) => {
    const field = item.object("type", "soft", "hard");
    const type = field.type.oneOf(Object.keys(RLIMITS) as RlimitName[]);
    if (seen.has(type)) field.type.refuse(`is ${type} for the second time`);
    seen.add(type);
    const limit = { type, soft: field.soft.unsigned64(), hard: field.hard.unsigned64() };
    if (limit.soft > limit.hard)
      field.soft.refuse(`is ${limit.soft}, more than the hard limit ${limit.hard}`);
    return limit;
  });
}

export function readHooks(hooks: Field): HooksConfig {
  const field = hooks.absent ? undefined : hooks.object(...HOOK_POINTS);
  const of = (point: (typeof HOOK_POINTS)[number]): HookConfig[] => field?.[point].list(readHook) ?? [];
  return {
    prestart: of("prestart"),
    createRuntime: of("createRuntime"),
    createContainer: of("createContainer"),
    startContainer: of("startContainer"),
    poststart: of("poststart"),
    poststop: of("poststop"),
  };
}

function readHook(hook: Field): HookConfig {
  const field = hook.object("path", "args", "env", "timeout");
  return {
    path: field.path.absolutePath(),
    args: field.args.texts(),
    env: field.env.texts(),
    timeout: field.timeout.optional((timeout) => timeout.number(1, 2 ** 31 - 1)),
  };
}
