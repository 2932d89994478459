/**
 * Runs scripts that test a command line from outside: see tests/scripts/README.md for the language.
 * The form is the one of Go's txtar and testscript: commands first, then files as `-- name --` sections.
 */
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";

export type Script = {
  readonly commands: readonly ScriptCommand[];
  readonly files: ReadonlyMap<string, string>;
};

export type ScriptCommand = {
  readonly line: number;
  /** As written, for messages. */
  readonly text: string;
  readonly negated: boolean;
  readonly words: readonly Word[];
};

/** A word of a command as pieces; those from single quotes are taken literally. */
type Word = readonly { readonly text: string; readonly literal: boolean }[];

const SECTION = /^-- (\S.*?) --$/;
/** A command that takes longer hangs. */
const COMMAND_LIMIT_MS = 300_000;

function parseWords(text: string, where: string): Word[] {
  const words: Word[] = [];
  let word: { text: string; literal: boolean }[] | undefined;
  const token = /'((?:[^']|'')*)'|(\s+)|([^\s']+)|(')/gy;
  for (const [, quoted, space, plain, stray] of text.matchAll(token)) {
    if (stray !== undefined) throw new Error(`${where}: a quote has no end`);
    if (space !== undefined) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    word ??= [];
    if (plain !== undefined) word.push({ text: plain, literal: false });
    else word.push({ text: (quoted ?? "").replaceAll("''", "'"), literal: true });
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** @throws Error for a quote without end, or two files of one name */
export function parseScript(text: string): Script {
  const commands: ScriptCommand[] = [];
  const files = new Map<string, string>();
  let section: string | undefined;
  const lines = text.replace(/\n$/, "").split("\n");
  for (const [index, line] of lines.entries()) {
    const name = SECTION.exec(line)?.[1];
    if (name !== undefined) {
      if (files.has(name)) throw new Error(`line ${index + 1}: there are two files ${name}`);
      files.set(name, "");
      section = name;
    } else if (section !== undefined) {
      files.set(section, `${files.get(section)}${line}\n`);
    } else if (!/^\s*(#|$)/.test(line)) {
      const negated = /^\s*!\s/.test(line);
      const words = parseWords(line.replace(/^\s*(!\s+)?/, ""), `line ${index + 1}`);
      commands.push({ line: index + 1, text: line.trim(), negated, words });
    }
  }
  return { commands, files };
}

export type ScriptOptions = {
  /** Directories put before the PATH, as the one that has the `atomfs` under test. */
  readonly path?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
};

type State = {
  readonly work: string;
  readonly env: Record<string, string>;
  /** Of the last exec; undefined before the first. */
  last: { readonly code: number; readonly stdout: Buffer; readonly stderr: Buffer } | undefined;
};

function expand(word: Word, env: Readonly<Record<string, string>>): string {
  return word
    .map(({ text, literal }) =>
      literal
        ? text
        : text.replace(/\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))/g, (_, a, b) => env[a ?? b] ?? ""),
    )
    .join("");
}

async function execute(state: State, argv: readonly string[], negated: boolean): Promise<string | undefined> {
  const program = Bun.which(argv[0] ?? "", { PATH: state.env["PATH"] ?? "", cwd: state.work });
  if (program === null) return `there is no program ${argv[0]}`;
  const logs = await mkdtemp(join(state.work, "..", "output-"));
  const out = openSync(join(logs, "stdout"), "w+");
  const err = openSync(join(logs, "stderr"), "w+");
  try {
    // Files, not pipes: a daemon that a command leaves behind would keep a pipe open.
    const child = Bun.spawn([program, ...argv.slice(1)], {
      cwd: state.work,
      env: state.env,
      stdin: "ignore",
      stdout: out,
      stderr: err,
      timeout: COMMAND_LIMIT_MS,
      killSignal: "SIGKILL",
    });
    await child.exited;
    state.last = {
      code: child.exitCode ?? -1,
      stdout: readFileSync(join(logs, "stdout")),
      stderr: readFileSync(join(logs, "stderr")),
    };
    if (child.signalCode !== null) return `it was ended by ${child.signalCode}`;
    if (negated === (state.last.code === 0)) return `exit code ${state.last.code}`;
    return undefined;
  } finally {
    closeSync(out);
    closeSync(err);
    rmSync(logs, { recursive: true });
  }
}

function inWork(state: State, path: string): string {
  return isAbsolute(path) ? path : join(state.work, path);
}

function lastOutput(state: State, name: "stdout" | "stderr"): Buffer {
  if (state.last === undefined) throw new Error("no exec came before");
  return state.last[name];
}

function readOperand(state: State, name: string): Buffer {
  return name === "stdout" || name === "stderr" ? lastOutput(state, name) : readFileSync(inWork(state, name));
}

function matchOutput(
  state: State,
  name: "stdout" | "stderr",
  pattern: string,
  negated: boolean,
): string | undefined {
  const found = new RegExp(pattern, "m").test(lastOutput(state, name).toString());
  return found === negated ? `${name} ${found ? "matches" : "does not match"} ${pattern}` : undefined;
}

/** True if the path itself is there; a dangling symlink is. */
function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function compare(state: State, left: string, right: string): string | undefined {
  const a = readOperand(state, left);
  const b = readOperand(state, right);
  if (a.equals(b)) return undefined;
  const lines = [a, b].map((bytes) => bytes.toString().split("\n"));
  const at = lines[0]?.findIndex((line, index) => line !== lines[1]?.[index]) ?? 0;
  const line = at < 0 ? (lines[0]?.length ?? 0) : at;
  const shown = lines.map((all) => JSON.stringify(all[line] ?? "(end)"));
  return `they differ first in line ${line + 1}: ${shown.join(" and ")}`;
}

function lookUp(value: unknown, path: string): unknown {
  let at = value;
  for (const key of path === "." ? [] : path.split(".")) {
    if (at === null || typeof at !== "object") return undefined;
    at = Object.hasOwn(at, key) ? Reflect.get(at, key) : undefined;
  }
  return at;
}

/** `json a.0.b == value`: value is JSON, or else the string itself. `json a.0.b`: it is there. */
function checkJson(state: State, args: readonly string[]): string | undefined {
  const [path = ".", operator, ...rest] = args;
  const found = lookUp(JSON.parse(lastOutput(state, "stdout").toString()), path);
  if (operator === undefined) return found === undefined ? `${path} is not there` : undefined;
  if (operator !== "==" && operator !== "!=") return `json knows == and !=, not ${operator}`;
  const text = rest.join(" ");
  let wanted: unknown = text;
  try {
    wanted = JSON.parse(text);
  } catch {
    // A plain string.
  }
  const same = Bun.deepEquals(found, wanted, true);
  return same === (operator === "==") ? undefined : `${path} is ${JSON.stringify(found)}`;
}

/** Why the command failed, or undefined. */
async function perform(state: State, command: ScriptCommand): Promise<string | undefined> {
  const [name = "", ...args] = command.words.map((word) => expand(word, state.env));
  const { negated } = command;
  const wants = (count: number): void => {
    if (args.length !== count) throw new Error(`${name} takes ${count} argument(s), not ${args.length}`);
  };
  if (negated && !["exec", "stdout", "stderr", "exists", "cmp", "json"].includes(name)) {
    return `"!" has no meaning for ${name}`;
  }
  switch (name) {
    case "exec":
      return await execute(state, args, negated);
    case "exit":
      wants(1);
      return String(state.last?.code) === args[0] ? undefined : `exit code ${state.last?.code}`;
    case "stdout":
    case "stderr":
      if (negated && args.length === 0) {
        return lastOutput(state, name).length === 0 ? undefined : `${name} is not empty`;
      }
      wants(1);
      return matchOutput(state, name, args[0] ?? "", negated);
    case "exists":
      for (const path of args) {
        if (isThere(inWork(state, path)) === negated) return `${path} is ${negated ? "" : "not "}there`;
      }
      return args.length === 0 ? "exists takes paths" : undefined;
    case "cmp": {
      wants(2);
      const difference = compare(state, args[0] ?? "", args[1] ?? "");
      if (negated) return difference === undefined ? "they are equal" : undefined;
      return difference;
    }
    case "env":
      for (const pair of args) {
        const equals = pair.indexOf("=");
        if (equals <= 0) return `env takes NAME=VALUE, not ${pair}`;
        state.env[pair.slice(0, equals)] = pair.slice(equals + 1);
      }
      return undefined;
    case "json": {
      const complaint = checkJson(state, args);
      if (negated) return complaint === undefined ? "it is so" : undefined;
      return complaint;
    }
    default:
      return `there is no command ${name}`;
  }
}

function describeLast(state: State): string {
  if (state.last === undefined) return "";
  const { code, stdout, stderr } = state.last;
  return `\n[exit code] ${code}\n[stdout]\n${stdout.subarray(0, 8192)}\n[stderr]\n${stderr.subarray(0, 8192)}`;
}

function writeFiles(work: string, files: ReadonlyMap<string, string>): void {
  for (const [name, text] of files) {
    const path = join(work, name);
    if (!path.startsWith(`${work}/`)) throw new Error(`The file ${name} is outside $WORK`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

/**
 * Runs a script in a new directory $WORK, which is removed at the end unless KEEP_WORK is set in the environment.
 * @throws Error with line, command, cause and the last output at the first command that fails
 */
export async function runScript(text: string, options: ScriptOptions = {}): Promise<void> {
  const script = parseScript(text);
  if (script.commands.length === 0) throw new Error("The script has no command");
  const scratch = await mkdtemp("/var/tmp/atomfs-script-");
  const work = join(scratch, "work");
  const path = [...(options.path ?? []), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
  const state: State = {
    work,
    env: {
      PATH: path.join(":"),
      HOME: work,
      WORK: work,
      TMPDIR: join(scratch, "tmp"),
      LANG: "C.UTF-8",
      NO_COLOR: "1",
      ATOMFS_ROOT: join(scratch, "store"),
      ...options.env,
    },
    last: undefined,
  };
  try {
    mkdirSync(work);
    mkdirSync(join(scratch, "tmp"));
    writeFiles(work, script.files);
    for (const command of script.commands) {
      let complaint: string | undefined;
      try {
        complaint = await perform(state, command);
      } catch (error) {
        complaint = error instanceof Error ? error.message : String(error);
      }
      if (complaint !== undefined) {
        throw new Error(`line ${command.line}: ${command.text}\n${complaint}${describeLast(state)}`);
      }
    }
  } finally {
    if (process.env["KEEP_WORK"] === undefined && existsSync(scratch)) rmSync(scratch, { recursive: true });
  }
}
