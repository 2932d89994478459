import { literalItems, type PatternItem, patternItems } from "./pattern.ts";
import { type ShellState, setVariable, type Value } from "./state.ts";
import { plainText, type StatementList, type Word, type WordPart } from "./syntax.ts";

/** What a word list becomes: the arguments, as far as they are known in number. */
export type Fields = {
  readonly values: readonly Value[];
  /** There may be more or fewer from the first unknown value on. */
  readonly isOpen: boolean;
};

/** What expansions need from the interpreter: commands inside words have effects of their own. */
export type ExpansionContext = {
  readonly state: ShellState;
  /** Runs a command substitution; what it writes, if that is known. */
  substitute(body: StatementList): Value;
  /** An expansion that may end the script (`${x:?}`). */
  mayStop(): void;
};

const GLOB = /[*?[]/;
const FIELD_END = /[ \t\n]+/;
const MAX_FIELDS = 4096;

/** With field splitting and pathname expansion: the words of a command. */
export function expandFields(words: readonly Word[], context: ExpansionContext): Fields {
  const values: Value[] = [];
  let isOpen = false;
  for (const word of words) {
    if (isAllArguments(word)) {
      if (context.state.positional === undefined) isOpen = true;
      values.push(...(context.state.positional ?? [undefined]));
      continue;
    }
    const fields = expandWord(word, context);
    values.push(...fields.values);
    isOpen ||= fields.isOpen;
  }
  return values.length > MAX_FIELDS ? { values: [undefined], isOpen: true } : { values, isOpen };
}

/** Without splitting: an assignment's value, a case's subject, a file to redirect to. */
export function expandSingle(word: Word, context: ExpansionContext): Value {
  const values = word.map((part) => partValue(part, context));
  return values.includes(undefined) ? undefined : values.join("");
}

/** A pattern of `case`; undefined if not all of it is known. */
export function expandPattern(word: Word, context: ExpansionContext): PatternItem[] | undefined {
  const items: PatternItem[] = [];
  let isKnown = true;
  for (const part of word) {
    const value = partValue(part, context);
    const more = value === undefined ? undefined : part.isQuoted ? literalItems(value) : patternItems(value);
    if (more === undefined) isKnown = false;
    else items.push(...more);
  }
  return isKnown ? items : undefined;
}

/** `"$@"` and nothing else. */
function isAllArguments(word: Word): boolean {
  const parts = word.filter((part) => part.kind !== "literal" || part.text !== "");
  const [part] = parts;
  return (
    parts.length === 1 &&
    part?.kind === "parameter" &&
    part.name === "@" &&
    part.operator === "" &&
    part.isQuoted
  );
}

function expandWord(word: Word, context: ExpansionContext): Fields {
  const done: string[] = [];
  let current = "";
  let isStarted = false;
  for (const part of word) {
    const isAll = part.kind === "parameter" && part.name === "@";
    const value = isAll ? undefined : partValue(part, context);
    if (value === undefined || (!part.isQuoted && GLOB.test(value) && !isBracketCommand(word))) {
      const rest = word.slice(word.indexOf(part) + 1);
      // The rest still runs its commands.
      for (const later of rest) partValue(later, context);
      return { values: [...done, undefined], isOpen: isAll || [part, ...rest].some(isSplit) };
    }
    if (part.isQuoted || part.kind === "literal") {
      current += value;
      isStarted = true;
      continue;
    }
    for (const [index, piece] of value.split(FIELD_END).entries()) {
      if (index > 0 && isStarted) {
        done.push(current);
        current = "";
        isStarted = false;
      }
      current += piece;
      isStarted ||= piece !== "";
    }
  }
  return { values: isStarted ? [...done, current] : done, isOpen: false };
}

/** The word `[`, which starts a test and no bracket expression. */
function isBracketCommand(word: Word): boolean {
  return plainText(word) === "[";
}

/** May become several words, or none. */
function isSplit(part: WordPart): boolean {
  return !part.isQuoted && (part.kind !== "literal" || GLOB.test(part.text));
}

function partValue(part: WordPart, context: ExpansionContext): Value {
  switch (part.kind) {
    case "literal":
      return part.text;
    case "opaque":
      return undefined;
    case "substitution":
      return context.substitute(part.body)?.replace(/\n+$/, "");
    case "parameter":
      return parameterValue(part, context);
  }
}

/** null: certainly unset. */
function lookUp(name: string, state: ShellState): Value | null {
  if (/^[1-9][0-9]*$/.test(name)) {
    if (state.positional === undefined) return undefined;
    const index = Number(name) - 1;
    return index < state.positional.length ? state.positional[index] : null;
  }
  if (name === "#") return state.positional === undefined ? undefined : String(state.positional.length);
  if (name === "?") return state.lastStatus === true ? "0" : undefined;
  if (name === "*" || name === "@") {
    const values = state.positional;
    return values === undefined || values.includes(undefined) ? undefined : values.join(" ");
  }
  return state.variables.get(name);
}

function parameterValue(part: Extract<WordPart, { kind: "parameter" }>, context: ExpansionContext): Value {
  const value = lookUp(part.name, context.state);
  const isMissing = value === undefined ? undefined : value === null || (isColon(part) && value === "");
  switch (part.operator) {
    case "":
      return value ?? (value === null ? "" : undefined);
    case "length":
      return undefined;
    case ":-":
    case "-": {
      if (isMissing === false) return value ?? undefined;
      const argument = expandSingle(part.argument, context);
      return isMissing === true ? argument : undefined;
    }
    case ":+":
    case "+": {
      if (isMissing === true) return "";
      const argument = expandSingle(part.argument, context);
      return isMissing === false ? argument : undefined;
    }
    case ":=":
    case "=": {
      if (isMissing === false) return value ?? undefined;
      const argument = expandSingle(part.argument, context);
      setVariable(context.state, part.name, isMissing === true ? argument : undefined);
      return isMissing === true ? argument : undefined;
    }
    case ":?":
    case "?":
      expandSingle(part.argument, context);
      if (isMissing !== false) context.mayStop();
      return value ?? undefined;
    default:
      return trimmed(value ?? (value === null ? "" : undefined), part, context);
  }
}

function isColon(part: Extract<WordPart, { kind: "parameter" }>): boolean {
  return part.operator.startsWith(":");
}

/** `${x#text}` and `${x%text}` for a text without pattern characters, so that "longest" makes no difference. */
function trimmed(
  value: Value,
  part: Extract<WordPart, { kind: "parameter" }>,
  context: ExpansionContext,
): Value {
  const text = expandSingle(part.argument, context);
  if (value === undefined || text === undefined || /[*?[\]\\']/.test(text)) return undefined;
  if (part.operator.startsWith("#")) return value.startsWith(text) ? value.slice(text.length) : value;
  return value.endsWith(text) ? value.slice(0, value.length - text.length) : value;
}
