import type { ShellSource } from "./source.ts";
import { type ParameterOperator, POWERFUL_VARIABLE, type Word, type WordPart } from "./syntax.ts";

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const SPECIAL_PARAMETER = /[@*#?$!0-9-]/y;
const DIGITS = /[0-9]+/y;
const OPERATOR = /:[-+=?]|%%|##|[-+=?%#]/y;
const UNQUOTED_TEXT = /[^ \t\n;&|()<>'"\\$`]+/y;
const UNQUOTED_TEXT_IN_BRACES = /[^'"\\$`}]+/y;
const QUOTED_TEXT = /[^"\\$`]+/y;
const QUOTED_TEXT_IN_BRACES = /[^"\\$`}]+/y;
const HOME = /(?:^|[=:])~/;

/** The word at this place; without parts if there is none. @throws OutsideSubset */
export function parseWord(source: ShellSource): Word {
  const parts = parseParts(source, UNQUOTED_TEXT, "", false);
  const unquoted = parts.map((part) => (part.kind === "literal" && !part.isQuoted ? part.text : "")).join("");
  if (unquoted.includes("{") && /,|\.\./.test(unquoted)) source.refuse("brace expansion is bash's only");
  return parts.map((part) => (isHome(part) ? { kind: "opaque", isQuoted: false } : part));
}

/** Parts up to `end`, or up to what can't be in a word if that is "". */
function parseParts(source: ShellSource, text: RegExp, end: string, isQuoted: boolean): WordPart[] {
  const parts: WordPart[] = [];
  while (!source.isAtEnd) {
    if (end !== "" && source.startsWith(end)) break;
    const literal = source.takeMatch(text);
    if (literal !== "") parts.push({ kind: "literal", text: literal, isQuoted });
    else if (source.startsWith("$")) parts.push(parseDollar(source, isQuoted));
    else if (source.startsWith("`")) parts.push(parseBackquotes(source, isQuoted));
    else if (source.startsWith("\\")) parts.push(...parseBackslash(source, isQuoted));
    else if (source.startsWith('"')) parts.push(...parseDoubleQuotes(source));
    else if (!isQuoted && source.startsWith("'")) parts.push(parseSingleQuotes(source));
    else break;
  }
  return parts;
}

function isHome(part: WordPart): boolean {
  return part.kind === "literal" && !part.isQuoted && HOME.test(part.text);
}

function parseSingleQuotes(source: ShellSource): WordPart {
  const end = source.text.indexOf("'", source.at + 1);
  if (end < 0) source.refuse("a quote is never closed");
  const text = source.text.slice(source.at + 1, end);
  source.at = end + 1;
  return { kind: "literal", text, isQuoted: true };
}

function parseDoubleQuotes(source: ShellSource): WordPart[] {
  source.at++;
  const parts = source.deeper(() => parseParts(source, QUOTED_TEXT, '"', true));
  source.expect('"', "a quoted text");
  // An empty part says that there is a word, even if all else in it is empty.
  return [{ kind: "literal", text: "", isQuoted: true }, ...parts];
}

function parseBackslash(source: ShellSource, isQuoted: boolean): WordPart[] {
  const next = source.peek(1);
  if (next === "") source.refuse("it ends in a backslash");
  source.at += 2;
  if (next === "\n") return [];
  // Between double quotes "\}" is an escape or not, by whether a "${" is open.
  if (isQuoted && next === "}") return [{ kind: "opaque", isQuoted }];
  const isEscape = !isQuoted || '$`"\\'.includes(next);
  return [{ kind: "literal", text: isEscape ? next : `\\${next}`, isQuoted: true }];
}

function parseDollar(source: ShellSource, isQuoted: boolean): WordPart {
  if (source.take("$((")) return parseArithmetic(source, isQuoted);
  if (source.take("$(")) {
    const body = source.deeper(() => source.parseStatements(source));
    source.expect(")", "a command substitution");
    return { kind: "substitution", body, isQuoted };
  }
  if (source.take("${")) return source.deeper(() => parseBraces(source, isQuoted));
  source.at++;
  const name = source.takeMatch(NAME) || source.takeMatch(SPECIAL_PARAMETER);
  if (name !== "") return { kind: "parameter", name, operator: "", argument: [], isQuoted };
  if (!isQuoted && /["']/.test(source.peek())) source.refuse(`$${source.peek()} is bash's only`);
  if (source.startsWith("[")) source.refuse("$[ is bash's only");
  return { kind: "literal", text: "$", isQuoted };
}

function parseBraces(source: ShellSource, isQuoted: boolean): WordPart {
  if (source.startsWith("#") && source.peek(1) !== "}") {
    source.at++;
    const name = source.takeMatch(NAME) || source.takeMatch(DIGITS) || source.takeMatch(SPECIAL_PARAMETER);
    if (name === "" || !source.take("}")) source.refuse("a parameter expansion isn't POSIX's");
    return { kind: "parameter", name, operator: "length", argument: [], isQuoted };
  }
  const name = source.takeMatch(NAME) || source.takeMatch(DIGITS) || source.takeMatch(SPECIAL_PARAMETER);
  if (name === "") source.refuse("a parameter expansion isn't POSIX's");
  const operator = source.takeMatch(OPERATOR) as ParameterOperator;
  if (operator.endsWith("=") && POWERFUL_VARIABLE.test(name)) source.refuse(`it sets ${name} in passing`);
  const text = isQuoted ? QUOTED_TEXT_IN_BRACES : UNQUOTED_TEXT_IN_BRACES;
  const argument = operator === "" ? [] : parseParts(source, text, "}", isQuoted);
  if (argument.some(isHome)) source.refuse("a parameter expansion holds a home directory");
  source.expect("}", "a parameter expansion");
  return { kind: "parameter", name, operator, argument, isQuoted };
}

/** Only what can neither run a command nor set a variable. */
function parseArithmetic(source: ShellSource, isQuoted: boolean): WordPart {
  const end = source.text.indexOf("))", source.at);
  const expression = source.text.slice(source.at, Math.max(source.at, end));
  if (end < 0 || !/^[\w\s$+*/%-]*$/.test(expression) || /\+\+|--/.test(expression)) {
    source.refuse("an arithmetic expansion is too complex");
  }
  source.at = end + 2;
  return { kind: "opaque", isQuoted };
}

function parseBackquotes(source: ShellSource, isQuoted: boolean): WordPart {
  const line = source.line;
  let end = source.at + 1;
  while (end < source.text.length && source.text[end] !== "`") end += source.text[end] === "\\" ? 2 : 1;
  if (end >= source.text.length) source.refuse("a backquote is never closed");
  const escaped = isQuoted ? /\\([$`\\"])/g : /\\([$`\\])/g;
  const inner = source.nested(source.text.slice(source.at + 1, end).replace(escaped, "$1"), line);
  const body = inner.deeper(() => inner.parseStatements(inner));
  if (!inner.isAtEnd) inner.refuse(`"${inner.peek()}" is not expected here`);
  source.at = end + 1;
  return { kind: "substitution", body, isQuoted };
}
