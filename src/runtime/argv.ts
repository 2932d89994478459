import { resolve } from "node:path";
import { parseSignal } from "../sys/pid.ts";
import { parseDuration } from "./duration.ts";
import {
  type CreateOptions,
  type ExecOptions,
  type GlobalOptions,
  type Invocation,
  UPDATE_SCALARS,
  type UpdateScalar,
} from "./invocation.ts";
import { optionWord, readOptions, usage, type Values } from "./option-reader.ts";
import { ENDS_AT_FIRST_WORD, FLAG, GLOBAL, type OptionTable, VERBS } from "./option-tables.ts";

/** Where containers are kept without --root: /run, since they end with the boot. */
export const DEFAULT_STATE_DIRECTORY = "/run/crio-lxc";

/** @throws AtomfsError "usage" */
export function parseInvocation(argv: readonly string[]): {
  readonly global: GlobalOptions;
  readonly invocation: Invocation;
} {
  const before = readOptions(argv, GLOBAL, "crio-lxc", true);
  const global = globalOptions(before);
  const [verb, ...rest] = before.words;
  if (before.has("version")) return { global, invocation: { verb: "version" } };
  if (verb === undefined || verb === "help" || before.has("help")) {
    return { global, invocation: { verb: "help", of: verb === "help" ? rest[0] : undefined } };
  }
  const table = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
  if (table === undefined) throw usage(`unknown command ${JSON.stringify(verb)}`);
  return { global, invocation: verbInvocation(verb, table, rest) };
}

/**
 * What of the command line can be known although something in it is wrong: where the complaint goes. What comes after the verb may
 * be anybody's, and names no file that is written to.
 */
export function logTarget(argv: readonly string[]): Pick<GlobalOptions, "log" | "logFormat"> {
  let log: string | undefined;
  let logFormat: GlobalOptions["logFormat"] = "text";
  const left = argv.values();
  for (const word of left) {
    if (!/^--?[^-=]/.test(word)) break;
    const { name, type, value } = optionWord(word, GLOBAL, "crio-lxc") ?? {};
    const said = type === "string" ? (value ?? left.next().value) : undefined;
    if (name === "log") log = said;
    if (name === "log-format") logFormat = said === "json" ? "json" : "text";
  }
  return { log, logFormat };
}

function globalOptions(values: Values): GlobalOptions {
  const manager = values.has("systemd-cgroup") ? "systemd" : (values.text("cgroup-manager") ?? "cgroupfs");
  if (manager === "disabled") {
    throw usage("--cgroup-manager disabled is not implemented: the container would get control groups");
  }
  if (manager !== "cgroupfs" && manager !== "systemd") {
    throw usage(`--cgroup-manager is cgroupfs or systemd, not ${JSON.stringify(manager)}`);
  }
  const rootless = values.text("rootless") ?? "auto";
  if (!["true", "false", "auto"].includes(rootless)) {
    throw usage(`--rootless is true, false or auto, not ${JSON.stringify(rootless)}`);
  }
  const format = values.text("log-format") ?? "text";
  if (format !== "text" && format !== "json") {
    throw usage(`--log-format is text or json, not ${JSON.stringify(format)}`);
  }
  return {
    root: resolve(values.text("root") ?? DEFAULT_STATE_DIRECTORY),
    log: values.text("log"),
    logFormat: format,
    logLevel: logLevel(values),
    cgroupManager: manager,
  };
}

/** Words of crun, of conmon-rs, which calls it, and of Go's usual logger. */
const LOG_LEVELS: Readonly<Record<string, GlobalOptions["logLevel"]>> = {
  off: "error",
  panic: "error",
  fatal: "error",
  error: "error",
  warn: "warning",
  warning: "warning",
  info: "info",
  debug: "debug",
  trace: "debug",
};

function logLevel(values: Values): GlobalOptions["logLevel"] {
  const word = values.text("log-level") ?? "info";
  const level = Object.hasOwn(LOG_LEVELS, word) ? LOG_LEVELS[word] : undefined;
  if (level === undefined) {
    throw usage(`--log-level is ${Object.keys(LOG_LEVELS).join(", ")}, not ${JSON.stringify(word)}`);
  }
  return values.has("debug") ? "debug" : level;
}

function verbInvocation(verb: string, table: OptionTable, rest: readonly string[]): Invocation {
  const withHelp = { ...table, help: GLOBAL["help"] ?? FLAG };
  const values = readOptions(rest, withHelp, verb, ENDS_AT_FIRST_WORD.includes(verb));
  if (values.has("help")) return { verb: "help", of: verb };
  const { words } = values;
  const [first] = words;
  const id = (): string => {
    if (first === undefined) throw usage(`${verb} needs a container's id`);
    return checkId(first);
  };
  const only = (count: number): void => {
    if (words.length > count) throw usage(`${verb}: unexpected argument ${JSON.stringify(words[count])}`);
  };
  switch (verb) {
    case "create":
      only(1);
      return { verb, ...createOptions(id(), values) };
    case "run":
      only(1);
      return {
        verb,
        detach: values.has("detach"),
        keep: values.has("keep"),
        ...createOptions(id(), values),
      };
    case "start":
    case "state":
    case "pause":
    case "resume":
      only(1);
      return { verb, id: id() };
    case "kill":
      only(2);
      return { verb, id: id(), signal: signalNumber(words[1] ?? "TERM"), all: values.has("all") };
    case "delete":
      only(1);
      return { verb, id: id(), force: values.has("force") };
    case "list":
      only(0);
      return { verb, format: format(values), quiet: values.has("quiet") };
    case "ps":
      return { verb, id: id(), format: format(values), psArguments: words.slice(1) };
    case "update":
      only(1);
      return { verb, id: id(), resources: values.text("resources"), scalars: scalars(values) };
    case "exec":
      return { verb, ...execOptions(id(), words.slice(1), values) };
    case "events":
      only(1);
      return {
        verb,
        id: id(),
        once: values.has("stats"),
        intervalMs: interval(values.text("interval") ?? "5s"),
      };
    case "features":
      only(0);
      return { verb };
    default:
      only(0);
      if (values.has("rootless")) throw usage("spec: --rootless is not implemented");
      return { verb: "spec", bundle: values.text("bundle") ?? "." };
  }
}

function createOptions(id: string, values: Values): CreateOptions {
  return {
    id,
    bundle: values.text("bundle") ?? ".",
    pidFile: values.text("pid-file"),
    consoleSocket: values.text("console-socket"),
    pidfdSocket: values.text("pidfd-socket"),
    preserveDescriptors: values.count("preserve-fds"),
    noPivot: values.has("no-pivot"),
    noNewKeyring: values.has("no-new-keyring"),
  };
}

function execOptions(id: string, command: readonly string[], values: Values): ExecOptions {
  const processFile = values.text("process");
  return {
    id,
    command: command.length === 0 ? undefined : command,
    processFile,
    detach: values.has("detach"),
    tty: values.flag("tty"),
    pidFile: values.text("pid-file"),
    consoleSocket: values.text("console-socket"),
    pidfdSocket: values.text("pidfd-socket"),
    cwd: values.text("cwd"),
    env: values.texts("env"),
    user: values.text("user"),
    additionalGids: values.texts("additional-gids").map(groupNumber),
    capabilities: values.texts("cap"),
    noNewPrivileges: values.flag("no-new-privs"),
    apparmor: values.text("apparmor"),
    processLabel: values.text("process-label"),
    preserveDescriptors: values.count("preserve-fds"),
    cgroup: values.text("cgroup"),
    ignorePaused: values.has("ignore-paused"),
  };
}

function checkId(id: string): string {
  const valid = /^[A-Za-z0-9_+.-]{1,1024}$/.test(id) && id !== "." && id !== ".." && !id.startsWith(".del-");
  if (!valid) throw usage(`invalid container id format: ${JSON.stringify(id)}`);
  return id;
}

function signalNumber(text: string): number {
  const number = parseSignal(text);
  if (number === undefined) throw usage(`unknown signal ${JSON.stringify(text)}`);
  return number;
}

function groupNumber(text: string): number {
  const number = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number <= 0xffffffff)) throw usage(`--additional-gids wants a number, not ${JSON.stringify(text)}`);
  return number;
}

function format(values: Values): "table" | "json" {
  const text = values.text("format") ?? "table";
  if (text !== "table" && text !== "json") {
    throw usage(`--format is table or json, not ${JSON.stringify(text)}`);
  }
  return text;
}

function scalars(values: Values): Map<UpdateScalar, string> {
  const found = new Map<UpdateScalar, string>();
  for (const name of UPDATE_SCALARS) {
    const text = values.text(name);
    if (text !== undefined) found.set(name, text);
  }
  return found;
}

function interval(text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined) return milliseconds;
  throw usage(`--interval wants a time like 5s or 1m30s, not ${JSON.stringify(text)}`);
}
