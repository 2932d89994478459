import type { HelperCaller } from "./dpkg-commands.ts";
import type { ExpansionContext } from "./expand.ts";
import type { Outcome, ShellState, Status, Value } from "./state.ts";
import type { Command, CompoundCommand, FunctionDefinition, SimpleCommand, StatementList } from "./syntax.ts";

/** A command that would, or might, change the image or stop the upgrade. */
export type Effect = { readonly line: number; readonly command: string; readonly reason: string };

export type CommandPlace = Pick<Command, "line" | "source">;

/** What encloses a command. */
export type Scope = {
  /** In a condition: `set -e` does not apply. */
  readonly isTested: boolean;
  /** Statuses with which the subshell around ends early; undefined in the script itself. */
  readonly subshellExits: Status[] | undefined;
  /** Of the function around. */
  readonly returns: Outcome[] | undefined;
  /** Values of the variables that the function around made local, from before. */
  readonly locals: Map<string, Value> | undefined;
  /** States in which the loop around is left, and in which it goes on early. */
  readonly loop: { readonly breaks: ShellState[]; readonly continues: ShellState[] } | undefined;
  readonly calls: number;
};

/** The interpreter as the kinds of commands see it. */
export type Runner = {
  readonly caller: HelperCaller;
  /** What the last simple command wrote to its standard output, if that is known. */
  lastOutput: Value;
  report(command: CommandPlace, reason: string): void;
  runList(list: StatementList, state: ShellState, scope: Scope): Outcome;
  /** Runs a command or statements on a copy of the state. */
  runSubshell(list: StatementList, state: ShellState, scope: Scope): Status;
  /** Ends the script, or the subshell, with this status. */
  exit(command: CommandPlace, status: Status, scope: Scope): Outcome;
  call(
    definition: FunctionDefinition,
    values: readonly Value[] | undefined,
    state: ShellState,
    scope: Scope,
  ): Outcome;
  expansion(command: CommandPlace, state: ShellState, scope: Scope): ExpansionContext;
  /** Examines the files that a command opens; false if one may be missing, so that the command may not run. */
  redirect(command: SimpleCommand | CompoundCommand, state: ShellState, scope: Scope): boolean;
  /** Status of the last command substitution since this was last asked; true if there was none. */
  takeSubstitutionStatus(): Status;
  /** Counts a turn of a loop or a command; false if the script is too complex to follow any further. */
  countStep(command: CommandPlace, state: ShellState): boolean;
};
