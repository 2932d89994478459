import type { Field } from "./reader.ts";
import {
  SECCOMP_ACTIONS,
  SECCOMP_OPERATORS,
  type SeccompActionName,
  type SeccompConfig,
  type SeccompSyscalls,
} from "./types.ts";

/** The kernel keeps 16 bits for an errno, but takes none above MAX_ERRNO. */
const MAX_ERRNO = 4095;

export function readSeccomp(seccomp: Field): SeccompConfig {
  const field = seccomp.object(
    "defaultAction",
    "defaultErrnoRet",
    "architectures",
    "flags",
    "listenerPath",
    "listenerMetadata",
    "syscalls",
  );
  const defaultAction = field.defaultAction.oneOf(SECCOMP_ACTIONS);
  const listenerPath = field.listenerPath.optionalText();
  const listenerMetadata = field.listenerMetadata.optionalText();
  if (listenerMetadata !== undefined && listenerPath === undefined)
    field.listenerMetadata.refuse("is set without listenerPath");
  return {
    defaultAction,
    defaultErrnoRet: readErrno(field.defaultErrnoRet, defaultAction),
    architectures: field.architectures.list((item) => {
      const name = item.text();
      if (!/^SCMP_ARCH_[A-Z0-9_]{1,40}$/.test(name)) item.refuse("is no SCMP_ARCH_ name");
      return name;
    }),
    flags: field.flags.texts(),
    listenerPath,
    listenerMetadata,
    syscalls: field.syscalls.list(readSyscalls),
  };
}

function readErrno(field: Field, action: SeccompActionName): number | undefined {
  const errno = field.optional((value) => value.number(0, MAX_ERRNO));
  if (errno !== undefined && action !== "SCMP_ACT_ERRNO" && action !== "SCMP_ACT_TRACE")
    field.refuse(`is set with ${action}, which returns none`);
  return errno;
}

function readSyscalls(item: Field): SeccompSyscalls {
  const field = item.object("names", "action", "errnoRet", "args", "comment", "includes", "excludes");
  const names = field.names.texts();
  if (names.length === 0) field.names.refuse("is empty");
  const action = field.action.oneOf(SECCOMP_ACTIONS);
  return {
    names,
    action,
    errnoRet: readErrno(field.errnoRet, action),
    args: field.args.list((argument) => {
      const { index, value, valueTwo, op } = argument.object("index", "value", "valueTwo", "op");
      return {
        index: index.number(0, 5),
        value: value.unsigned64(),
        valueTwo: valueTwo.optional((second) => second.unsigned64()) ?? 0n,
        op: op.oneOf(SECCOMP_OPERATORS),
      };
    }),
  };
}
