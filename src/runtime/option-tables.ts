import { UPDATE_SCALARS } from "./invocation.ts";

const TEXT = { type: "string" } as const;
export const FLAG: OptionTable[string] = { type: "boolean" };
export type OptionTable = Record<string, { readonly type: "string" | "boolean"; readonly short?: string }>;

export const GLOBAL: OptionTable = {
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

export const VERBS: Readonly<Record<string, OptionTable>> = {
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
    env: { type: "string", short: "e" },
    user: { type: "string", short: "u" },
    "additional-gids": { type: "string", short: "g" },
    cap: { type: "string", short: "c" },
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
export const ENDS_AT_FIRST_WORD: readonly string[] = ["exec", "ps"];

export const VERB_NAMES: readonly string[] = Object.keys(VERBS);
