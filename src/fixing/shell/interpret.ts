import { runCompound } from "./compound-commands.ts";
import type { HelperCaller } from "./dpkg-commands.ts";
import { type ExpansionContext, expandSingle } from "./expand.ts";
import type { CommandPlace, Effect, Runner, Scope } from "./runner.ts";
import { runSimple } from "./simple-commands.ts";
import {
  cloneState,
  joinOutcomes,
  joinStatus,
  negateStatus,
  type Outcome,
  type ShellState,
  type Status,
  setVariable,
  type Value,
} from "./state.ts";
import type {
  AndOrList,
  Command,
  CompoundCommand,
  FunctionDefinition,
  Pipeline,
  SimpleCommand,
  StatementList,
} from "./syntax.ts";

const MAX_STEPS = 20_000;
const MAX_VARIABLES = 500;
const MAX_CALLS = 20;

/** Follows every way through a script that may be taken; what it would do to the image, each place once, by line. */
export function interpretScript(script: StatementList, state: ShellState, caller: HelperCaller): Effect[] {
  return new Interpreter(caller).run(script, state);
}

class Interpreter implements Runner {
  readonly caller: HelperCaller;
  lastOutput: Value = undefined;
  readonly #effects = new Map<string, Effect>();
  #substitutionStatus: Status = true;
  #steps = 0;

  constructor(caller: HelperCaller) {
    this.caller = caller;
  }

  run(script: StatementList, state: ShellState): Effect[] {
    const end = this.runList(script, state, {
      isTested: false,
      subshellExits: undefined,
      returns: undefined,
      locals: undefined,
      loop: undefined,
      calls: 0,
    });
    if (end.state !== undefined) this.exit({ line: 1, source: "(its last command)" }, end.status, undefined);
    return [...this.#effects.values()].sort((a, b) => a.line - b.line);
  }

  report(command: CommandPlace, reason: string): void {
    const key = `${command.line} ${command.source}`;
    if (this.#effects.has(key)) return;
    this.#effects.set(key, { line: command.line, command: command.source, reason });
  }

  runList(list: StatementList, start: ShellState, scope: Scope): Outcome {
    let outcome: Outcome = { state: start, status: true };
    for (const statement of list) {
      if (outcome.state === undefined) break;
      outcome = this.#runAndOr(statement, outcome.state, scope);
    }
    return outcome;
  }

  runSubshell(list: StatementList, state: ShellState, scope: Scope): Status {
    const exits: Status[] = [];
    const inner: Scope = { ...scope, subshellExits: exits, returns: undefined, loop: undefined };
    const end = this.runList(list, cloneState(state), inner);
    if (end.state !== undefined) exits.push(end.status);
    return exits.length === 0 ? undefined : exits.reduce(joinStatus);
  }

  exit(command: CommandPlace, status: Status, scope: Scope | undefined): Outcome {
    if (scope?.subshellExits !== undefined) scope.subshellExits.push(status);
    else if (status === false || (status === undefined && this.#effects.size === 0)) {
      // After an effect all else is in doubt anyway.
      this.report(command, `${status === false ? "fails" : "may fail"}, which stops the upgrade`);
    }
    return { state: undefined, status };
  }

  call(
    definition: FunctionDefinition,
    values: readonly Value[] | undefined,
    state: ShellState,
    scope: Scope,
  ): Outcome {
    if (scope.calls >= MAX_CALLS) {
      this.report(definition, `calls functions more than ${MAX_CALLS} deep`);
      return { state: undefined, status: undefined };
    }
    const outer = state.positional;
    const locals = new Map<string, Value>();
    const returns: Outcome[] = [];
    state.positional = values;
    const inner: Scope = { ...scope, returns, locals, loop: undefined, calls: scope.calls + 1 };
    const end = [this.#runCommand(definition.body, state, inner), ...returns].reduce(joinOutcomes);
    if (end.state === undefined) return end;
    end.state.positional = outer;
    // A variable that is made local on some of the ways only may have either value now.
    for (const [name, before] of locals) {
      if (end.state.variables.get(name) !== before) setVariable(end.state, name, undefined);
    }
    return end;
  }

  expansion(command: CommandPlace, state: ShellState, scope: Scope): ExpansionContext {
    return {
      state,
      substitute: (body) => {
        // Whether `set -e` holds in a substitution depends on the shell; without it, more commands are looked at.
        this.#substitutionStatus = this.runSubshell(body, state, { ...scope, isTested: true });
        return tellsItsOutput(body) ? this.lastOutput : undefined;
      },
      mayStop: () => this.exit(command, undefined, scope),
    };
  }

  redirect(command: SimpleCommand | CompoundCommand, state: ShellState, scope: Scope): boolean {
    let isSure = true;
    for (const { operator, target } of command.redirections) {
      const file = expandSingle(target, this.expansion(command, state, scope));
      if (file === "/dev/null") continue;
      if (operator.endsWith("&") && file !== undefined && /^([0-9]+|-)$/.test(file)) continue;
      if (operator === "<") isSure = false;
      else this.report(command, `writes to ${file ?? "a file whose name AtomFS can't predict"}`);
    }
    return isSure;
  }

  takeSubstitutionStatus(): Status {
    const status = this.#substitutionStatus;
    this.#substitutionStatus = true;
    return status;
  }

  countStep(command: CommandPlace, state: ShellState): boolean {
    this.#steps++;
    if (this.#steps <= MAX_STEPS && state.variables.size <= MAX_VARIABLES) return true;
    this.report(command, "stands in a script that is too complex to follow");
    return false;
  }

  #runAndOr({ first, rest }: AndOrList, start: ShellState, scope: Scope): Outcome {
    const tested: Scope = { ...scope, isTested: true };
    let outcome = this.#runPipeline(first, start, rest.length > 0 ? tested : scope);
    for (const [index, { operator, pipeline }] of rest.entries()) {
      const { state, status } = outcome;
      if (state === undefined) return outcome;
      const isRun = operator === "&&" ? status : negateStatus(status);
      if (isRun === false) continue;
      const skipped: Outcome = { state: cloneState(state), status: operator === "||" };
      const ran = this.#runPipeline(pipeline, state, index < rest.length - 1 ? tested : scope);
      outcome = isRun === true ? ran : joinOutcomes(skipped, ran);
    }
    return outcome;
  }

  #runPipeline({ isNegated, commands }: Pipeline, start: ShellState, scope: Scope): Outcome {
    const inner: Scope = isNegated ? { ...scope, isTested: true } : scope;
    const [command] = commands;
    if (command === undefined) return { state: start, status: true };
    let outcome: Outcome;
    if (commands.length === 1) outcome = this.#runCommand(command, start, inner);
    else {
      const statuses = commands.map((stage) => this.runSubshell(asStatements(stage), start, inner));
      outcome = this.#checkFailure(command, { state: start, status: statuses.at(-1) }, inner);
    }
    const status = isNegated ? negateStatus(outcome.status) : outcome.status;
    if (outcome.state !== undefined) outcome.state.lastStatus = status;
    return { state: outcome.state, status };
  }

  #runCommand(command: Command, state: ShellState, scope: Scope): Outcome {
    if (!this.countStep(command, state)) return { state: undefined, status: undefined };
    switch (command.kind) {
      case "simple":
        return this.#checkFailure(command, runSimple(this, command, state, scope), scope);
      case "function":
        state.functions.set(command.name, command);
        return { state, status: true };
      case "subshell": {
        const isSure = this.redirect(command, state, scope);
        const status = this.runSubshell(command.body, state, scope);
        return this.#checkFailure(command, { state, status: isSure ? status : undefined }, scope);
      }
      default: {
        const isSure = this.redirect(command, state, scope);
        const outcome = runCompound(this, command, state, scope);
        return isSure ? outcome : { ...outcome, status: joinStatus(outcome.status, false) };
      }
    }
  }

  /** A failure where `set -e` holds ends the script; one that is only possible is reported, and the script goes on. */
  #checkFailure(command: CommandPlace, outcome: Outcome, scope: Scope): Outcome {
    const { state, status } = outcome;
    if (state === undefined || status === true || scope.isTested || !state.stopsOnFailure) return outcome;
    const ended = this.exit(command, status, scope);
    return status === false ? ended : { state, status: true };
  }
}

function asStatements(command: Command): StatementList {
  return [{ first: { isNegated: false, commands: [command] }, rest: [] }];
}

/** Whether the output is that of one simple command: alone, or with `|| true` (`|| :`) after it. */
function tellsItsOutput(body: StatementList): boolean {
  const [statement] = body;
  if (body.length !== 1 || statement === undefined || statement.first.commands.length !== 1) return false;
  const [command] = statement.first.commands;
  if (command?.kind !== "simple") return false;
  const isPlain = command.redirections.every((each) => each.descriptor === 2 && each.operator === ">");
  return isPlain && statement.rest.length === 0;
}
