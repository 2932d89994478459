import { expandFields, expandPattern, expandSingle } from "./expand.ts";
import { matchesPattern, type PatternItem } from "./pattern.ts";
import type { Runner, Scope } from "./runner.ts";
import {
  cloneState,
  joinOutcomes,
  joinStates,
  joinStatus,
  negateStatus,
  type Outcome,
  type ShellState,
  type Status,
  sameState,
  setVariable,
  type Value,
} from "./state.ts";
import type { CompoundCommand } from "./syntax.ts";

type Compound<K extends CompoundCommand["kind"]> = Extract<CompoundCommand, { kind: K }>;

const MAX_UNROLLED = 32;
const NEVER: Outcome = { state: undefined, status: undefined };

/** Runs all ways through a compound command (not a subshell) that may be taken; may change `state`. */
export function runCompound(
  runner: Runner,
  command: CompoundCommand,
  state: ShellState,
  scope: Scope,
): Outcome {
  switch (command.kind) {
    case "group":
    case "subshell":
      return runner.runList(command.body, state, scope);
    case "if":
      return runIf(runner, command, state, scope);
    case "case":
      return runCase(runner, command, state, scope);
    case "for":
      return runFor(runner, command, state, scope);
    case "while":
      return runWhile(runner, command, state, scope);
  }
}

function runIf(runner: Runner, command: Compound<"if">, start: ShellState, scope: Scope): Outcome {
  let state = start;
  let ended = NEVER;
  for (const { condition, body } of command.branches) {
    const tested = runner.runList(condition, state, { ...scope, isTested: true });
    if (tested.state === undefined) return ended;
    const after = tested.state;
    if (tested.status !== false) {
      ended = joinOutcomes(ended, runner.runList(body, cloneState(after), scope));
      if (tested.status === true) return ended;
    }
    state = after;
  }
  return joinOutcomes(ended, runner.runList(command.otherwise, state, scope));
}

function runCase(runner: Runner, command: Compound<"case">, state: ShellState, scope: Scope): Outcome {
  const context = runner.expansion(command, state, scope);
  const subject = expandSingle(command.subject, context);
  let ended = NEVER;
  for (const { patterns, body } of command.items) {
    const matches = patterns.map((pattern) => matchStatus(expandPattern(pattern, context), subject));
    if (matches.every((match) => match === false)) continue;
    ended = joinOutcomes(ended, runner.runList(body, cloneState(state), scope));
    if (matches.includes(true)) return ended;
  }
  return joinOutcomes(ended, { state, status: true });
}

function matchStatus(pattern: PatternItem[] | undefined, subject: Value): Status {
  if (pattern === undefined) return undefined;
  if (subject !== undefined) return matchesPattern(pattern, subject);
  return pattern.length > 0 && pattern.every((item) => item.kind === "run") ? true : undefined;
}

function runFor(runner: Runner, command: Compound<"for">, start: ShellState, scope: Scope): Outcome {
  const context = runner.expansion(command, start, scope);
  const fields =
    command.words === undefined
      ? { values: start.positional ?? [], isOpen: start.positional === undefined }
      : expandFields(command.words, context);
  if (fields.isOpen || fields.values.length > MAX_UNROLLED) return repeat(runner, command, start, scope);
  const breaks: ShellState[] = [];
  let outcome: Outcome = { state: start, status: true };
  for (const value of fields.values) {
    if (outcome.state === undefined) break;
    setVariable(outcome.state, command.variable, value);
    const continues: ShellState[] = [];
    const turn = runner.runList(command.body, outcome.state, { ...scope, loop: { breaks, continues } });
    outcome = joinAll(turn, continues);
  }
  return joinAll(outcome, breaks);
}

/** Turn by turn as long as the condition is known. */
function runWhile(runner: Runner, command: Compound<"while">, start: ShellState, scope: Scope): Outcome {
  const breaks: ShellState[] = [];
  let outcome: Outcome & { readonly state: ShellState } = { state: start, status: true };
  for (let turns = 0; turns < MAX_UNROLLED; turns++) {
    const continues: ShellState[] = [];
    const inner: Scope = { ...scope, loop: { breaks, continues } };
    const condition = evaluateCondition(runner, command, cloneState(outcome.state), inner);
    if (condition.state === undefined) return joinAll(NEVER, breaks);
    if (condition.status === undefined) break;
    if (!condition.status) return joinAll({ state: condition.state, status: outcome.status }, breaks);
    const turn = joinAll(runner.runList(command.body, condition.state, inner), continues);
    if (turn.state === undefined) return joinAll(NEVER, breaks);
    outcome = { state: turn.state, status: turn.status };
  }
  return joinAll(repeat(runner, command, outcome.state, scope), breaks);
}

/** A loop of any number of turns: what is known before a turn is what all turns before it leave true. */
function repeat(
  runner: Runner,
  command: Compound<"for" | "while">,
  start: ShellState,
  scope: Scope,
): Outcome {
  const breaks: ShellState[] = [];
  let before = start;
  let ended = NEVER;
  while (runner.countStep(command, before)) {
    const continues: ShellState[] = [];
    const inner: Scope = { ...scope, loop: { breaks, continues } };
    const condition = evaluateCondition(runner, command, cloneState(before), inner);
    let turn = NEVER;
    if (condition.state !== undefined) {
      if (condition.status !== true) {
        ended = joinOutcomes(ended, { state: cloneState(condition.state), status: true });
      }
      if (condition.status !== false) turn = runner.runList(command.body, condition.state, inner);
    }
    turn = joinAll(turn, continues);
    if (turn.state === undefined) break;
    ended = { state: ended.state, status: joinStatus(ended.status, turn.status) };
    const next = joinStates(before, turn.state);
    if (sameState(next, before)) break;
    before = next;
  }
  return joinAll(ended, breaks);
}

function evaluateCondition(
  runner: Runner,
  command: Compound<"for" | "while">,
  state: ShellState,
  scope: Scope,
): Outcome {
  if (command.kind === "for") {
    setVariable(state, command.variable, undefined);
    return { state, status: undefined };
  }
  const { state: after, status } = runner.runList(command.condition, state, { ...scope, isTested: true });
  return { state: after, status: command.isUntil ? negateStatus(status) : status };
}

function joinAll(outcome: Outcome, states: readonly ShellState[]): Outcome {
  return states.map((state): Outcome => ({ state, status: true })).reduce(joinOutcomes, outcome);
}
