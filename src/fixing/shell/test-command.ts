import type { Fields } from "./expand.ts";
import type { ImagePaths } from "./image-paths.ts";
import { negateStatus, type Status, type Value } from "./state.ts";

const FILE_OPERATORS = new Set("-b -c -d -e -f -g -h -k -L -p -r -s -S -u -w -x -O -G -N".split(" "));
const UNARY = new Set([...FILE_OPERATORS, "-n", "-z", "-t"]);
const BINARY = new Set(["=", "!=", "==", "<", ">", "-nt", "-ot", "-ef"]);
const NUMERIC = new Set(["-eq", "-ne", "-gt", "-ge", "-lt", "-le"]);
const MAX_NESTING = 50;

/** `test` (and `[`, its last argument taken off) on the image's files; undefined where it can't be known. */
export function evaluateTest(fields: Fields, paths: ImagePaths): Status {
  const { values } = fields;
  if (fields.isOpen) return undefined;
  const [first, second] = values;
  switch (values.length) {
    case 0:
      return false;
    case 1:
      return isNotEmpty(first);
    case 2:
      return first === "!" ? negateStatus(isNotEmpty(second)) : unary(first, second, paths);
    case 3:
      if (isBinary(second)) return binary(first, second, values[2]);
      if (first === "!") return negateStatus(evaluateTest({ values: values.slice(1), isOpen: false }, paths));
      return first === "(" && values[2] === ")" ? isNotEmpty(second) : undefined;
    default:
      return values.includes(undefined) ? undefined : new Expression(values as string[], paths).evaluate();
  }
}

/** More than three arguments: `-o` binds weaker than `-a`, that weaker than `!` (XSI, obsolescent, yet in use). */
class Expression {
  readonly #words: readonly string[];
  readonly #paths: ImagePaths;
  #at = 0;
  #isBroken = false;

  constructor(words: readonly string[], paths: ImagePaths) {
    this.#words = words;
    this.#paths = paths;
  }

  evaluate(): Status {
    const status = this.#either(0);
    return this.#isBroken || this.#at !== this.#words.length ? undefined : status;
  }

  #either(depth: number): Status {
    let status = this.#both(depth);
    while (this.#take("-o")) status = or(status, this.#both(depth));
    return status;
  }

  #both(depth: number): Status {
    let status = this.#primary(depth);
    while (this.#take("-a"))
      status = negateStatus(or(negateStatus(status), negateStatus(this.#primary(depth))));
    return status;
  }

  #primary(depth: number): Status {
    const [word, next, third] = this.#words.slice(this.#at, this.#at + 3);
    if (word === undefined || depth > MAX_NESTING) {
      this.#isBroken = true;
      return undefined;
    }
    if (isBinary(next) && third !== undefined) {
      this.#at += 3;
      const status = binary(word, next, third);
      // A number that is none ends the whole test.
      if (status === undefined || isSyntax(word) || isSyntax(third)) this.#isBroken = true;
      return status;
    }
    this.#at++;
    // dash reads more than one "!" in its own way.
    if (word === "!" && next === "!") this.#isBroken = true;
    if (word === "!") return negateStatus(this.#primary(depth + 1));
    if (word === "(") {
      const status = this.#either(depth + 1);
      if (!this.#take(")")) this.#isBroken = true;
      return status;
    }
    if (!UNARY.has(word)) {
      if (isSyntax(word)) this.#isBroken = true;
      return isNotEmpty(word);
    }
    this.#at++;
    if (next === undefined || isSyntax(next)) this.#isBroken = true;
    return unary(word, next, this.#paths);
  }

  #take(word: string): boolean {
    if (this.#words[this.#at] !== word) return false;
    this.#at++;
    return true;
  }
}

/** As an operand in a long expression, shells read such a word in different ways. */
function isSyntax(word: string): boolean {
  return isBinary(word) || UNARY.has(word) || ["!", "(", ")", "-a", "-o"].includes(word);
}

function or(a: Status, b: Status): Status {
  if (a === true || b === true) return true;
  return a === false && b === false ? false : undefined;
}

function isNotEmpty(value: Value): Status {
  return value === undefined ? undefined : value !== "";
}

function isBinary(operator: Value): operator is string {
  return operator !== undefined && (BINARY.has(operator) || NUMERIC.has(operator));
}

function unary(operator: Value, value: Value, paths: ImagePaths): Status {
  if (operator === undefined || value === undefined) return undefined;
  if (operator === "-n") return value !== "";
  if (operator === "-z") return value === "";
  if (!FILE_OPERATORS.has(operator)) return undefined;
  return value === "" ? false : paths.testFile(operator, value);
}

function binary(left: Value, operator: string, right: Value): Status {
  if (left === undefined || right === undefined) return undefined;
  if (operator === "=") return left === right;
  if (operator === "!=") return left !== right;
  if (!NUMERIC.has(operator) || !/^-?[0-9]{1,15}$/.test(left) || !/^-?[0-9]{1,15}$/.test(right)) {
    return undefined;
  }
  const difference = Number(left) - Number(right);
  switch (operator) {
    case "-eq":
      return difference === 0;
    case "-ne":
      return difference !== 0;
    case "-gt":
      return difference > 0;
    case "-ge":
      return difference >= 0;
    case "-lt":
      return difference < 0;
    default:
      return difference <= 0;
  }
}
