import { parseArgs } from "node:util";
import { AtomfsError } from "../core/errors.ts";
import { parseSignal } from "../sys/pid.ts";

/** Options before the verb. */
export type GlobalOptions = {
  /** Where the state directories are. */
  readonly root: string;
  readonly log: string | undefined;
  readonly logFormat: "text" | "json";
  readonly logLevel: string;
  readonly cgroupManager: "cgroupfs" | "systemd" | "disabled";
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

const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean" } as const;
type OptionTable = Record<
  string,
  { readonly type: "string" | "boolean"; readonly short?: string; readonly multiple?: boolean }
>;

const GLOBAL: OptionTable = {
  root: TEXT,
  log: TEXT,
  "log-format": TEXT,
  "log-level": TEXT,
  debug: FLAG,
  "systemd-cgroup": FLAG,
  "cgroup-manager": TEXT,
  rootless: TEXT,
  criu: TEXT,
  version: { type: "boolean", short: "v" },
  help: { type: "boolean", short: "h" },
};

const CREATE: OptionTable = {
  bundle: { type: "string", short: "b" },
  "pid-file": TEXT,
  "console-socket": TEXT,
  "pidfd-socket": TEXT,
  "preserve-fds": TEXT,
  "no-pivot": FLAG,
  "no-new-keyring": FLAG,
};

const FORMAT = { type: "string", short: "f" } as const;
const DETACH = { type: "boolean", short: "d" } as const;

const VERBS: Readonly<Record<string, OptionTable>> = {
  create: CREATE,
  // Both change nothing here: the caller is a subreaper or the parent already.
  run: { ...CREATE, detach: DETACH, keep: FLAG, "no-subreaper": FLAG },
  start: {},
  state: {},
  kill: { all: { type: "boolean", short: "a" } },
  delete: { force: { type: "boolean", short: "f" } },
  list: { format: FORMAT, quiet: { type: "boolean", short: "q" } },
  ps: { format: FORMAT },
  pause: {},
  resume: {},
  update: {
    resources: { type: "string", short: "r" },
    ...Object.fromEntries(UPDATE_SCALARS.map((name) => [name, TEXT])),
  },
  exec: {
    process: { type: "string", short: "p" },
    detach: DETACH,
    tty: { type: "boolean", short: "t" },
    "pid-file": TEXT,
    "console-socket": TEXT,
    "pidfd-socket": TEXT,
    cwd: TEXT,
    env: { type: "string", short: "e", multiple: true },
    user: { type: "string", short: "u" },
    "additional-gids": { type: "string", short: "g", multiple: true },
    cap: { type: "string", short: "c", multiple: true },
    "no-new-privs": FLAG,
    apparmor: TEXT,
    "process-label": TEXT,
    "preserve-fds": TEXT,
    cgroup: TEXT,
    "ignore-paused": FLAG,
    "no-subreaper": FLAG,
  },
  events: { stats: FLAG, interval: TEXT },
  features: {},
  spec: { bundle: { type: "string", short: "b" }, rootless: FLAG },
};

/** Whose words after the first one belong to somebody else. */
const ENDS_AT_FIRST_WORD: readonly string[] = ["exec", "ps"];

export const VERB_NAMES: readonly string[] = Object.keys(VERBS);

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
    root: values.text("root") ?? "/run/crio-lxc",
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
