/** What the parser makes of a script: the part of POSIX shell that maintainer scripts use (POSIX.1-2017, XCU 2). */

/** Statements in the order in which they run. */
export type StatementList = readonly AndOrList[];

/** Pipelines joined by `&&` and `||`, which bind equally and from the left. */
export type AndOrList = { readonly first: Pipeline; readonly rest: readonly AndOrStep[] };

export type AndOrStep = { readonly operator: "&&" | "||"; readonly pipeline: Pipeline };

export type Pipeline = { readonly isNegated: boolean; readonly commands: readonly Command[] };

type Place = {
  /** 1 is the script's first line. */
  readonly line: number;
  /** As in the script, white space squeezed, cut short; a compound command has its first word only. */
  readonly source: string;
};

export type SimpleCommand = Place & {
  readonly kind: "simple";
  readonly assignments: readonly Assignment[];
  readonly words: readonly Word[];
  readonly redirections: readonly Redirection[];
};

export type FunctionDefinition = Place & {
  readonly kind: "function";
  readonly name: string;
  readonly body: Command;
};

export type CompoundCommand = Place & { readonly redirections: readonly Redirection[] } & (
    | { readonly kind: "group" | "subshell"; readonly body: StatementList }
    | {
        readonly kind: "if";
        readonly branches: readonly { readonly condition: StatementList; readonly body: StatementList }[];
        readonly otherwise: StatementList;
      }
    | {
        readonly kind: "case";
        readonly subject: Word;
        readonly items: readonly { readonly patterns: readonly Word[]; readonly body: StatementList }[];
      }
    | {
        readonly kind: "for";
        readonly variable: string;
        /** undefined: the positional parameters. */
        readonly words: readonly Word[] | undefined;
        readonly body: StatementList;
      }
    | {
        readonly kind: "while";
        readonly isUntil: boolean;
        readonly condition: StatementList;
        readonly body: StatementList;
      }
  );

export type Command = SimpleCommand | CompoundCommand | FunctionDefinition;

export type Assignment = { readonly name: string; readonly value: Word };

export type Redirection = {
  /** 0 to 9 by POSIX; 0 for input and 1 for output if none is written. */
  readonly descriptor: number;
  readonly operator: "<" | ">" | ">>" | ">|" | "<>" | "<&" | ">&";
  readonly target: Word;
};

export type Word = readonly WordPart[];

export type ParameterOperator =
  | ""
  | "length"
  | ":-"
  | "-"
  | ":+"
  | "+"
  | ":="
  | "="
  | ":?"
  | "?"
  | "%"
  | "%%"
  | "#"
  | "##";

export type WordPart = { readonly isQuoted: boolean } & (
  | { readonly kind: "literal"; readonly text: string }
  | {
      readonly kind: "parameter";
      readonly name: string;
      readonly operator: ParameterOperator;
      readonly argument: Word;
    }
  | { readonly kind: "substitution"; readonly body: StatementList }
  /** Arithmetic or a home directory: without side effects, with a value that nobody here knows. */
  | { readonly kind: "opaque" }
);

/** Why a script isn't in the subset: an answer, never thrown past `parseShell`. */
export type NotUnderstood = {
  readonly kind: "not-understood";
  readonly line: number;
  readonly reason: string;
};

/** Variables that change what later commands do, in the shell itself, the dynamic linker or dpkg's tools. */
export const POWERFUL_VARIABLE: RegExp =
  /^(PATH|IFS|ENV|PS4|BASH.*|LD_.*|DPKG_.*|GLOBIGNORE|SHELLOPTS|BASHOPTS|POSIXLY_CORRECT|CDPATH|HOME|PWD|OPTIND)$/;

/** The text of a word of unquoted letters only: a reserved word, a function's name. */
export function plainText(word: Word): string | undefined {
  const [part, ...others] = word;
  return part?.kind === "literal" && !part.isQuoted && others.length === 0 ? part.text : undefined;
}
