import { expandFields, expandSingle, type Fields } from "./expand.ts";
import { COMMAND_DIRECTORIES } from "./image-paths.ts";
import { answerCommand } from "./known-commands.ts";
import type { Runner, Scope } from "./runner.ts";
import {
  joinStatus,
  type Outcome,
  type ShellState,
  type Status,
  setPositional,
  setVariable,
  type Value,
} from "./state.ts";
import { type Assignment, POWERFUL_VARIABLE, type SimpleCommand, type Word } from "./syntax.ts";

/** What `command -v` finds before any file. */
const BUILTINS = new Set(
  `. : [ alias bg break case cd command continue do done echo elif else esac eval exec exit export false fc fg fi
  for getopts hash if in jobs kill local printf pwd read readonly return set shift test then times trap true type
  ulimit umask unalias unset until wait while declare typeset let source function select time builtin`.split(
    /\s+/,
  ),
);

/** Runs a command without structure: assignments, a function, a builtin, a program. May change `state`. */
export function runSimple(runner: Runner, command: SimpleCommand, state: ShellState, scope: Scope): Outcome {
  runner.takeSubstitutionStatus();
  runner.lastOutput = undefined;
  const context = runner.expansion(command, state, scope);
  const fields = expandFields(command.words, context);
  const isBare = fields.values.length === 0 && !fields.isOpen;
  for (const assignment of command.assignments) {
    const value = assign(runner, command, assignment, state, scope);
    // Before a command, an assignment lasts for that command only, or not, by what the command is.
    setVariable(state, assignment.name, isBare ? value : undefined);
  }
  const substituted = runner.takeSubstitutionStatus();
  const isSure = runner.redirect(command, state, scope);
  runner.lastOutput = undefined;
  const outcome = isBare ? { state, status: substituted } : runNamed(runner, command, fields, state, scope);
  return isSure ? outcome : { state: outcome.state, status: joinStatus(outcome.status, false) };
}

function assign(
  runner: Runner,
  command: SimpleCommand,
  { name, value: word }: Assignment,
  state: ShellState,
  scope: Scope,
): Value {
  const value = expandSingle(word, runner.expansion(command, state, scope));
  if (POWERFUL_VARIABLE.test(name) && !(name === "PATH" && isUsualPath(value))) {
    runner.report(command, `sets ${name}, which changes what later commands do`);
  }
  return value;
}

/** The directories of PATH that `command -v` is answered from, in any order, none missing but /usr/local's. */
function isUsualPath(value: Value): boolean {
  const directories = value?.split(":") ?? [];
  const needed = COMMAND_DIRECTORIES.filter((directory) => !directory.startsWith("/usr/local"));
  return (
    needed.every((directory) => directories.includes(directory)) &&
    directories.every((directory) => COMMAND_DIRECTORIES.includes(directory))
  );
}

function runNamed(
  runner: Runner,
  command: SimpleCommand,
  fields: Fields,
  state: ShellState,
  scope: Scope,
): Outcome {
  const [name, ...values] = fields.values;
  const known = fields.isOpen || values.includes(undefined) ? undefined : (values as string[]);
  if (name === undefined) {
    runner.report(command, "runs a command whose name AtomFS can't predict");
    return { state, status: undefined };
  }
  if (state.functions.has(name)) {
    const definition = state.functions.get(name);
    if (definition !== undefined) {
      return runner.call(definition, fields.isOpen ? undefined : values, state, scope);
    }
    runner.report(command, "calls a function that is defined in several ways");
    return { state, status: undefined };
  }
  switch (name) {
    case "exit":
      return runner.exit(command, statusOf(known?.[0], values.length, state), scope);
    case "return": {
      const status = statusOf(known?.[0], values.length, state);
      if (scope.returns === undefined) return runner.exit(command, status, scope);
      scope.returns.push({ state, status });
      return { state: undefined, status };
    }
    case "break":
    case "continue":
      if (scope.loop === undefined || values.length > 0) break;
      (name === "break" ? scope.loop.breaks : scope.loop.continues).push(state);
      return { state: undefined, status: true };
    case "set":
      if (known === undefined || !runSet(known, state)) break;
      return { state, status: true };
    case "shift": {
      const count = values.length === 0 ? 1 : Number(known?.[0] ?? Number.NaN);
      if (state.positional === undefined || !(count >= 0 && count <= state.positional.length)) break;
      setPositional(state, state.positional.slice(count));
      return { state, status: true };
    }
    case "local":
    case "export":
    case "readonly":
      if (!runDeclaration(runner, command, name, state, scope)) break;
      return { state, status: true };
    case "unset":
    case "read":
      if (known === undefined || !runForget(known, state)) break;
      return { state, status: name === "unset" ? true : undefined };
    case "cd":
      return { state, status: undefined };
    case "command":
      return runCommandBuiltin(runner, command, fields, state);
    default:
      return runProgram(runner, command, name, { values, isOpen: fields.isOpen }, state);
  }
  runner.report(command, "does something to the shell that AtomFS can't follow");
  return { state, status: undefined };
}

function runProgram(
  runner: Runner,
  command: SimpleCommand,
  name: string,
  fields: Fields,
  state: ShellState,
): Outcome {
  const answer = answerCommand(name.replace(/^(\/usr)?\/s?bin\/(?=.)/, ""), fields, runner.caller);
  if ("effect" in answer) {
    runner.report(command, answer.effect);
    return { state, status: undefined };
  }
  runner.lastOutput = answer.output;
  return { state, status: answer.status };
}

/** `command -v NAME`, or a command that is not to be a function. */
function runCommandBuiltin(
  runner: Runner,
  command: SimpleCommand,
  fields: Fields,
  state: ShellState,
): Outcome {
  const [, first, ...rest] = fields.values;
  if (first !== "-v" && first !== "-V") {
    // Programs only: a special builtin would change the shell.
    const name = first !== undefined && !first.startsWith("-") && !BUILTINS.has(first) ? first : "command";
    return runProgram(runner, command, name, { values: rest, isOpen: fields.isOpen }, state);
  }
  const [name] = rest;
  const isProgram =
    name !== undefined && /^[\w+.-]+$/.test(name) && !BUILTINS.has(name) && !state.functions.has(name);
  const found =
    isProgram && rest.length === 1 && !fields.isOpen ? runner.caller.paths.findCommand(name) : undefined;
  if (first === "-v") runner.lastOutput = found;
  return { state, status: found === undefined ? undefined : found !== "" };
}

/** The status that `exit` or `return` names. */
function statusOf(value: Value, count: number, state: ShellState): Status {
  if (count === 0) return state.lastStatus;
  return value === undefined || !/^[0-9]+$/.test(value) ? undefined : Number(value) % 256 === 0;
}

/** False for options that AtomFS does not follow. */
function runSet(values: readonly string[], state: ShellState): boolean {
  for (const [index, value] of values.entries()) {
    if (value === "--") {
      setPositional(state, values.slice(index + 1));
      return true;
    }
    if (!/^[-+]/.test(value)) {
      setPositional(state, values.slice(index));
      return true;
    }
    if (!/^[-+][ex]+$/.test(value)) return false;
    if (value.includes("e")) state.stopsOnFailure = value.startsWith("-");
  }
  return true;
}

/** `local a b=c`, `export A=b`: by the words as written, as shells differ in how they split the values. */
function runDeclaration(
  runner: Runner,
  command: SimpleCommand,
  kind: string,
  state: ShellState,
  scope: Scope,
): boolean {
  for (const word of command.words.slice(1)) {
    const [first, ...rest] = word;
    if (first?.kind !== "literal" || first.isQuoted) return false;
    const match = /^([A-Za-z_][A-Za-z0-9_]*)(=?)(.*)$/s.exec(first.text);
    if (match?.[1] === undefined || (match[2] === "" && (match[3] !== "" || rest.length > 0))) return false;
    const name = match[1];
    if (kind === "local") scope.locals?.set(name, scope.locals.get(name) ?? state.variables.get(name));
    if (match[2] === "") {
      if (kind === "local") setVariable(state, name, undefined);
      continue;
    }
    const value: Word = [{ kind: "literal", isQuoted: false, text: match[3] ?? "" }, ...rest];
    const text = assign(runner, command, { name, value }, state, scope);
    setVariable(state, name, text !== undefined && /[ \t\n*?[]/.test(text) ? undefined : text);
  }
  return true;
}

/** Makes variables unknown; false for options that AtomFS does not follow. */
function runForget(values: readonly string[], state: ShellState): boolean {
  for (const value of values) {
    if (value === "-r" || value === "-v") continue;
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(value) || POWERFUL_VARIABLE.test(value)) return false;
    setVariable(state, value, undefined);
  }
  return true;
}
