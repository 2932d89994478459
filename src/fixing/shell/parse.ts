import { fromBytes } from "../../core/bytestring.ts";
import { OutsideSubset, ShellSource } from "./source.ts";
import {
  type AndOrList,
  type AndOrStep,
  type Assignment,
  type Command,
  type CompoundCommand,
  type NotUnderstood,
  type Pipeline,
  POWERFUL_VARIABLE,
  plainText,
  type Redirection,
  type SimpleCommand,
  type StatementList,
  type Word,
} from "./syntax.ts";
import { parseWord } from "./words.ts";

/** Bytes. */
export const MAX_SCRIPT: number = 256 * 1024;
const MAX_SHOWN = 160;

const RESERVED = /(?:[a-z]+|[{}!]|\[\[)(?=[ \t\n;&|()<>]|$)/y;
const CLOSING = new Set(["then", "do", "done", "fi", "elif", "else", "esac", "}", "in"]);
const REFUSED = new Set(["[[", "function", "select", "coproc", "time"]);
const REDIRECTION = /[0-9]*(?:<<|>>|>\||<>|[<>]&|[<>])/y;
const ASSIGNMENT = /[A-Za-z_][A-Za-z0-9_]*=/y;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Names that a shell looks up before functions, so that a definition could mean two things. */
const SPECIAL_BUILTINS = new Set(
  ": . break continue eval exec exit export readonly return set shift times trap unset".split(" "),
);

/**
 * Parses a POSIX shell script of up to 256 KiB and 50 nested constructs. Never throws: what isn't in the subset
 * (here-documents, background jobs, bash's own syntax) is an answer with its line.
 */
export function parseShell(script: Uint8Array): StatementList | NotUnderstood {
  if (script.length > MAX_SCRIPT) {
    return { kind: "not-understood", line: 1, reason: `it is larger than ${MAX_SCRIPT} bytes` };
  }
  const source = new ShellSource(fromBytes(script), parseStatements);
  try {
    if (script.includes(0)) source.refuse("it contains a NUL byte");
    const statements = parseStatements(source);
    if (!source.isAtEnd) source.refuse(`"${source.peek()}" is not expected here`);
    return statements;
  } catch (error) {
    if (!(error instanceof OutsideSubset)) throw error;
    return { kind: "not-understood", line: error.line, reason: error.message };
  }
}

export function isUnderstood(result: StatementList | NotUnderstood): result is StatementList {
  return !("kind" in result);
}

/** Statements up to the end, a `)`, a `;;` or a word that closes a construct. */
function parseStatements(source: ShellSource): StatementList {
  const statements: AndOrList[] = [];
  for (;;) {
    source.skipNewlines();
    if (source.isAtEnd || source.startsWith(")") || source.startsWith(";;")) return statements;
    if (CLOSING.has(peekReserved(source))) return statements;
    statements.push(parseAndOr(source));
    source.skipBlanks();
    if (source.startsWith("&")) source.refuse("it runs a command in the background");
    if (source.startsWith(";;") || source.startsWith(")") || source.isAtEnd) return statements;
    if (!source.take("\n") && !source.take(";")) source.refuse(`"${source.peek()}" is not expected here`);
  }
}

function parseAndOr(source: ShellSource): AndOrList {
  const first = parsePipeline(source);
  const rest: AndOrStep[] = [];
  for (;;) {
    source.skipBlanks();
    const operator = source.take("&&") ? "&&" : source.take("||") ? "||" : undefined;
    if (operator === undefined) return { first, rest };
    source.skipNewlines();
    rest.push({ operator, pipeline: parsePipeline(source) });
  }
}

function parsePipeline(source: ShellSource): Pipeline {
  const isNegated = takeReserved(source, "!");
  const commands = [parseCommand(source)];
  for (;;) {
    source.skipBlanks();
    if (source.startsWith("||") || !source.take("|")) return { isNegated, commands };
    if (source.startsWith("&")) source.refuse("|& is bash's only");
    source.skipNewlines();
    commands.push(parseCommand(source));
  }
}

function parseCommand(source: ShellSource): Command {
  return source.deeper(() => {
    source.skipBlanks();
    const line = source.line;
    const reserved = peekReserved(source);
    if (REFUSED.has(reserved)) source.refuse(`"${reserved}" is not POSIX shell`);
    const shape = parseShape(source, reserved);
    if (shape === undefined) return parseSimple(source, line);
    const redirections: Redirection[] = [];
    for (source.skipBlanks(); takeRedirection(source, redirections); source.skipBlanks());
    return { ...shape, line, source: reserved || "( ... )", redirections } as CompoundCommand;
  });
}

type Shape<T> = T extends unknown ? Omit<T, "line" | "source" | "redirections"> : never;

function parseShape(source: ShellSource, reserved: string): Shape<CompoundCommand> | undefined {
  if (source.startsWith("((")) source.refuse("(( is not POSIX shell");
  if (source.take("(")) {
    const body = parseStatements(source);
    source.expect(")", "a subshell");
    return { kind: "subshell", body };
  }
  switch (reserved) {
    case "{":
      source.at++;
      return { kind: "group", body: parseBody(source, "}") };
    case "if":
      return parseIf(source);
    case "case":
      return parseCase(source);
    case "for":
      return parseFor(source);
    case "while":
    case "until": {
      source.at += reserved.length;
      const condition = parseBody(source, "do");
      return { kind: "while", isUntil: reserved === "until", condition, body: parseBody(source, "done") };
    }
    default:
      return undefined;
  }
}

function parseIf(source: ShellSource): Shape<CompoundCommand> {
  const branches: { condition: StatementList; body: StatementList }[] = [];
  source.at += "if".length;
  for (;;) {
    const condition = parseBody(source, "then");
    branches.push({ condition, body: parseStatements(source) });
    if (takeReserved(source, "elif")) continue;
    const otherwise = takeReserved(source, "else") ? parseStatements(source) : [];
    if (!takeReserved(source, "fi")) source.refuse('an "if" has no "fi"');
    return { kind: "if", branches, otherwise };
  }
}

function parseCase(source: ShellSource): Shape<CompoundCommand> {
  source.at += "case".length;
  source.skipBlanks();
  const subject = parseWord(source);
  source.skipNewlines();
  if (subject.length === 0 || !takeReserved(source, "in")) source.refuse('a "case" has no "in"');
  const items: { patterns: Word[]; body: StatementList }[] = [];
  for (;;) {
    source.skipNewlines();
    if (takeReserved(source, "esac")) return { kind: "case", subject, items };
    source.take("(");
    const patterns: Word[] = [];
    do {
      source.skipBlanks();
      const pattern = parseWord(source);
      if (pattern.length === 0) source.refuse("a case has no pattern");
      patterns.push(pattern);
      source.skipBlanks();
    } while (source.take("|"));
    source.expect(")", "a case");
    items.push({ patterns, body: parseStatements(source) });
    if (!source.take(";;") && peekReserved(source) !== "esac") source.refuse('a case has no ";;"');
    if (source.startsWith("&")) source.refuse(";;& is bash's only");
  }
}

function parseFor(source: ShellSource): Shape<CompoundCommand> {
  source.at += "for".length;
  source.skipBlanks();
  const variable = plainText(parseWord(source)) ?? "";
  if (!VARIABLE.test(variable) || POWERFUL_VARIABLE.test(variable)) source.refuse('a "for" has no variable');
  source.skipNewlines();
  let words: Word[] | undefined;
  if (takeReserved(source, "in")) {
    words = [];
    for (source.skipBlanks(); ; source.skipBlanks()) {
      const word = parseWord(source);
      if (word.length === 0) break;
      words.push(word);
    }
  }
  if (!source.startsWith(";;")) source.take(";");
  source.skipNewlines();
  if (!takeReserved(source, "do")) source.refuse('a "for" has no "do"');
  return { kind: "for", variable, words, body: parseBody(source, "done") };
}

/** Statements, of which there must be one, and the reserved word after them. */
function parseBody(source: ShellSource, end: string): StatementList {
  const body = parseStatements(source);
  if (body.length === 0) source.refuse(`there is nothing before "${end}"`);
  if (!takeReserved(source, end)) source.refuse(`"${end}" is missing`);
  return body;
}

function parseSimple(source: ShellSource, line: number): Command {
  const start = source.at;
  const assignments: Assignment[] = [];
  const words: Word[] = [];
  const redirections: Redirection[] = [];
  let end = start;
  for (; ; end = source.at) {
    source.skipBlanks();
    if (takeRedirection(source, redirections)) continue;
    const name = words.length === 0 ? source.takeMatch(ASSIGNMENT).slice(0, -1) : "";
    const word = parseWord(source);
    if (name !== "") assignments.push({ name, value: word });
    else if (word.length > 0) words.push(word);
    else break;
  }
  if (source.startsWith("(") && assignments.length + redirections.length === 0) {
    return parseFunction(source, line, words);
  }
  if (end === start) source.refuse(`"${source.peek()}" is not expected here`);
  return { kind: "simple", assignments, words, redirections, line, source: shown(source, start, end) };
}

function parseFunction(source: ShellSource, line: number, words: readonly Word[]): Command {
  const name = words.length === 1 ? (plainText(words[0] ?? []) ?? "") : "";
  source.at++;
  source.skipBlanks();
  if (!/^[A-Za-z_][\w.-]*$/.test(name) || SPECIAL_BUILTINS.has(name) || !source.take(")")) {
    source.refuse('"(" is not expected here');
  }
  source.skipNewlines();
  const body = parseCommand(source);
  if (body.kind === "simple" || body.kind === "function") source.refuse(`${name}() has no body`);
  return { kind: "function", name, body, line, source: `${name}()` } satisfies Command;
}

function takeRedirection(source: ShellSource, redirections: Redirection[]): boolean {
  const [, digits = "", operator = ""] = /^([0-9]*)(.*)$/.exec(source.takeMatch(REDIRECTION)) ?? [];
  if (operator === "") return false;
  const descriptor = digits === "" ? Number(operator.startsWith(">")) : Number(digits);
  if (operator === "<<") source.refuse("it has a here-document");
  source.skipBlanks();
  const target = parseWord(source);
  if (target.length === 0) source.refuse(`"${operator}" has no file`);
  redirections.push({ descriptor, operator: operator as Redirection["operator"], target });
  return true;
}

function peekReserved(source: ShellSource): string {
  const start = source.at;
  const word = source.takeMatch(RESERVED);
  source.at = start;
  return word;
}

function takeReserved(source: ShellSource, word: string): boolean {
  source.skipBlanks();
  return peekReserved(source) === word && source.take(word);
}

function shown(source: ShellSource, start: number, end: number): SimpleCommand["source"] {
  const text = source.text
    .slice(start, Math.min(end, start + 4 * MAX_SHOWN))
    .replace(/\\\n/g, " ")
    .replace(/\s+/g, " ")
    .trim();
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}...`;
}
