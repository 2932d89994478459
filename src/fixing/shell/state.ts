import type { FunctionDefinition } from "./syntax.ts";

/** Success, failure, or undefined: it may be either. */
export type Status = boolean | undefined;

/** A text (bytes as in ByteString), or undefined: any text. */
export type Value = string | undefined;

/** What is known of the shell at one point, whatever way led there. Changed in place; `cloneState` before a branch. */
export type ShellState = {
  /** Absent: unknown, maybe unset (the environment that dpkg was called with). */
  readonly variables: Map<string, Value>;
  /** undefined: there are several definitions, by what ran before. */
  readonly functions: Map<string, FunctionDefinition | undefined>;
  /** undefined: unknown in number. */
  positional: readonly Value[] | undefined;
  /** Whether a failure may end the script (`set -e`). */
  stopsOnFailure: boolean;
  /** Of the pipeline before: `$?`. */
  lastStatus: Status;
};

/** After a command: no state if the script does not go on from there. */
export type Outcome = { readonly state: ShellState | undefined; readonly status: Status };

/** Longer ones are as good as unknown, so that a hostile script can't make values grow without bound. */
const MAX_VALUE = 4096;
const MAX_POSITIONAL = 256;

export function cloneState(state: ShellState): ShellState {
  return { ...state, variables: new Map(state.variables), functions: new Map(state.functions) };
}

export function setVariable(state: ShellState, name: string, value: Value): void {
  if (value === undefined || value.length > MAX_VALUE) state.variables.delete(name);
  else state.variables.set(name, value);
}

export function setPositional(state: ShellState, values: readonly Value[] | undefined): void {
  state.positional = values !== undefined && values.length <= MAX_POSITIONAL ? values : undefined;
}

export function joinStatus(a: Status, b: Status): Status {
  return a === b ? a : undefined;
}

export function negateStatus(status: Status): Status {
  return status === undefined ? undefined : !status;
}

/** What is true after either of two outcomes. */
export function joinOutcomes(a: Outcome, b: Outcome): Outcome {
  if (a.state === undefined) return b;
  if (b.state === undefined) return a;
  return { state: joinStates(a.state, b.state), status: joinStatus(a.status, b.status) };
}

export function joinStates(a: ShellState, b: ShellState): ShellState {
  const variables = new Map<string, Value>();
  for (const [name, value] of a.variables) if (b.variables.get(name) === value) variables.set(name, value);
  const functions = new Map<string, FunctionDefinition | undefined>();
  for (const name of new Set([...a.functions.keys(), ...b.functions.keys()])) {
    const definition = a.functions.get(name);
    functions.set(name, definition === b.functions.get(name) ? definition : undefined);
  }
  return {
    variables,
    functions,
    positional: samePositional(a.positional, b.positional) ? a.positional : undefined,
    stopsOnFailure: a.stopsOnFailure || b.stopsOnFailure,
    lastStatus: joinStatus(a.lastStatus, b.lastStatus),
  };
}

export function sameState(a: ShellState, b: ShellState): boolean {
  return (
    a.stopsOnFailure === b.stopsOnFailure &&
    a.lastStatus === b.lastStatus &&
    a.variables.size === b.variables.size &&
    a.functions.size === b.functions.size &&
    samePositional(a.positional, b.positional) &&
    [...a.variables].every(([name, value]) => b.variables.get(name) === value) &&
    [...a.functions].every(([name, body]) => b.functions.has(name) && b.functions.get(name) === body)
  );
}

function samePositional(a: ShellState["positional"], b: ShellState["positional"]): boolean {
  if (a === b) return true;
  return a !== undefined && a.length === b?.length && a.every((value, index) => value === b[index]);
}
