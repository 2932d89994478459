import { parseArgs } from "node:util";
import { AtomfsError } from "../core/errors.ts";
import { parseSignal } from "../sys/pid.ts";
import {
  type CreateOptions,
  type ExecOptions,
  type GlobalOptions,
  type Invocation,
  UPDATE_SCALARS,
  type UpdateScalar,
} from "./invocation.ts";
import { ENDS_AT_FIRST_WORD, FLAG, GLOBAL, type OptionTable, VERBS } from "./option-tables.ts";

/** Where containers are kept without --root: /run, since they end with the boot. */
export const DEFAULT_STATE_DIRECTORY = "/run/crio-lxc";

/** @throws AtomfsError "usage" */
export function parseInvocation(argv: readonly string[]): {
  readonly global: GlobalOptions;
  readonly invocation: Invocation;
} {
  const at = firstWord(argv, GLOBAL);
  const before = parse(argv.slice(0, at), GLOBAL, "crio-lxc");
  const global = globalOptions(before);
  const verb = argv[at];
  if (before.has("version")) return { global, invocation: { verb: "version" } };
  if (verb === undefined || verb === "help" || before.has("help")) {
    return { global, invocation: { verb: "help", of: verb === "help" ? argv[at + 1] : undefined } };
  }
  const table = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
  if (table === undefined) throw usage(`unknown command ${JSON.stringify(verb)}`);
  return { global, invocation: verbInvocation(verb, table, argv.slice(at + 1)) };
}

/**
 * What of the command line can be known although something in it is wrong: where the complaint goes.
 */
export function logTarget(argv: readonly string[]): Pick<GlobalOptions, "log" | "logFormat"> {
  let log: string | undefined;
  let logFormat: GlobalOptions["logFormat"] = "text";
  for (const [i, word] of argv.entries()) {
    if (word === "--log") log = argv[i + 1];
    else if (word.startsWith("--log=")) log = word.slice(6);
    else if (word === "--log-format=json" || (word === "--log-format" && argv[i + 1] === "json")) {
      logFormat = "json";
    }
  }
  return { log, logFormat };
}

class Values {
  readonly words: readonly string[];
  readonly #named: ReadonlyMap<string, readonly (string | true)[]>;

  constructor(words: readonly string[], named: ReadonlyMap<string, readonly (string | true)[]>) {
    this.words = words;
    this.#named = named;
  }

  has(name: string): boolean {
    return this.#named.has(name);
  }

  /** What was said last counts: conmon-rs says --root twice. */
  text(name: string): string | undefined {
    const value = this.#named.get(name)?.at(-1);
    return typeof value === "string" ? value : undefined;
  }

  texts(name: string): string[] {
    return (this.#named.get(name) ?? []).filter((value) => typeof value === "string");
  }

  count(name: string): number {
    const text = this.text(name);
    if (text === undefined) return 0;
    if (!/^[0-9]{1,5}$/.test(text)) throw usage(`--${name} wants a number, not ${JSON.stringify(text)}`);
    return Number(text);
  }
}

/** Index of the first argument that is neither an option nor an option's value. */
function firstWord(argv: readonly string[], table: OptionTable): number {
  const { tokens } = parseArgs({
    args: [...argv],
    options: table,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  return tokens.find((token) => token.kind === "positional")?.index ?? argv.length;
}

function parse(argv: readonly string[], table: OptionTable, of: string): Values {
  try {
    const { tokens } = parseArgs({
      args: argv.map(separateValue(table)),
      options: table,
      allowPositionals: true,
      tokens: true,
    });
    const named = new Map<string, (string | true)[]>();
    const words: string[] = [];
    for (const token of tokens) {
      if (token.kind === "positional") words.push(token.value);
      if (token.kind !== "option") continue;
      named.set(token.name, [...(named.get(token.name) ?? []), token.value ?? true]);
    }
    return new Values(words, named);
  } catch (error) {
    const why = error instanceof Error ? (error.message.split(". ")[0] ?? "") : String(error);
    throw usage(`${of}: ${why}`);
  }
}

/** Go's flag syntax: `--flag=true` and `--flag=false` for flags without value. */
function separateValue(table: OptionTable): (word: string) => string {
  return (word) => {
    const match = /^--([a-z-]+)=true$/.exec(word);
    return match?.[1] !== undefined && table[match[1]]?.type === "boolean" ? `--${match[1]}` : word;
  };
}

function globalOptions(values: Values): GlobalOptions {
  const manager = values.has("systemd-cgroup") ? "systemd" : (values.text("cgroup-manager") ?? "cgroupfs");
  if (manager !== "cgroupfs" && manager !== "systemd" && manager !== "disabled") {
    throw usage(`--cgroup-manager is cgroupfs, systemd or disabled, not ${JSON.stringify(manager)}`);
  }
  const format = values.text("log-format") ?? "text";
  if (format !== "text" && format !== "json") {
    throw usage(`--log-format is text or json, not ${JSON.stringify(format)}`);
  }
  return {
    root: values.text("root") ?? DEFAULT_STATE_DIRECTORY,
    log: values.text("log"),
    logFormat: format,
    logLevel: values.has("debug") ? "debug" : (values.text("log-level") ?? "info"),
    cgroupManager: manager,
  };
}

function verbInvocation(verb: string, table: OptionTable, rest: readonly string[]): Invocation {
  const end = ENDS_AT_FIRST_WORD.includes(verb) ? firstWord(rest, table) : rest.length;
  const withHelp = { ...table, help: GLOBAL["help"] ?? FLAG };
  const values = parse(rest.slice(0, end), withHelp, verb);
  if (values.has("help")) return { verb: "help", of: verb };
  const words = [...values.words, ...rest.slice(end)];
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
        intervalMs: duration(values.text("interval") ?? "5s"),
      };
    case "features":
      only(0);
      return { verb };
    default:
      only(0);
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
  if (processFile === undefined && command.length === 0) {
    throw usage("exec needs a command or --process FILE");
  }
  return {
    id,
    command: command.length === 0 ? undefined : command,
    processFile,
    detach: values.has("detach"),
    tty: values.has("tty") ? true : undefined,
    pidFile: values.text("pid-file"),
    consoleSocket: values.text("console-socket"),
    pidfdSocket: values.text("pidfd-socket"),
    cwd: values.text("cwd"),
    env: values.texts("env"),
    user: values.text("user"),
    additionalGids: values.texts("additional-gids").map(groupNumber),
    capabilities: values.texts("cap"),
    noNewPrivileges: values.has("no-new-privs") ? true : undefined,
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

/** Go's durations, as far as anybody calls us with one: "5s", "500ms", "1m". */
function duration(text: string): number {
  const match = /^([0-9]{1,6})(ms|s|m|h)$/.exec(text);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? ""];
  if (unit === undefined || Number(match?.[1]) === 0) {
    throw usage(`--interval wants a time like 5s, not ${JSON.stringify(text)}`);
  }
  return Number(match?.[1]) * unit;
}

function usage(message: string): AtomfsError {
  return new AtomfsError("usage", message);
}
