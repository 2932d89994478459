import type { StatementList } from "./syntax.ts";

const MAX_NESTING = 50;
const BLANK = /(?:[ \t]|\\\n)*/y;
const COMMENT = /#[^\n]*/y;

/** Thrown within the parser only; `parseShell` turns it into a value. */
export class OutsideSubset extends Error {
  readonly line: number;

  constructor(line: number, reason: string) {
    super(reason);
    this.line = line;
  }
}

/** A position in a script's bytes, and how deep the parser stands in its constructs. */
export class ShellSource {
  readonly text: string;
  at = 0;
  readonly #firstLine: number;
  /** Up to `#countedTo` there are `#newlines` newlines; keeps `line` cheap, as positions seldom go back. */
  #countedTo = 0;
  #newlines = 0;
  #nesting: number;
  /** Parses statements up to `)` or the end; breaks the cycle between words and the commands inside them. */
  readonly parseStatements: (source: ShellSource) => StatementList;

  constructor(
    text: string,
    parseStatements: (source: ShellSource) => StatementList,
    firstLine = 1,
    nesting = 0,
  ) {
    this.text = text;
    this.parseStatements = parseStatements;
    this.#firstLine = firstLine;
    this.#nesting = nesting;
  }

  get line(): number {
    if (this.at < this.#countedTo) {
      this.#countedTo = 0;
      this.#newlines = 0;
    }
    for (let next = this.#newlineFrom(); next >= 0 && next < this.at; next = this.#newlineFrom()) {
      this.#countedTo = next + 1;
      this.#newlines++;
    }
    return this.#firstLine + this.#newlines;
  }

  get isAtEnd(): boolean {
    return this.at >= this.text.length;
  }

  peek(ahead = 0): string {
    return this.text.charAt(this.at + ahead);
  }

  startsWith(text: string): boolean {
    return this.text.startsWith(text, this.at);
  }

  /** Goes past `text` if it is next. */
  take(text: string): boolean {
    if (!this.startsWith(text)) return false;
    this.at += text.length;
    return true;
  }

  /** Goes past what a sticky pattern matches here; "" if it doesn't. */
  takeMatch(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text)?.[0] ?? "";
    this.at += match.length;
    return match;
  }

  expect(text: string, what: string): void {
    if (!this.take(text)) this.refuse(`${what} has no "${text}"`);
  }

  skipBlanks(): void {
    this.takeMatch(BLANK);
    this.takeMatch(COMMENT);
  }

  skipNewlines(): void {
    for (this.skipBlanks(); this.take("\n"); this.skipBlanks());
  }

  /** The text of a nested construct with escapes undone (backquotes), as a source of its own. */
  nested(text: string, line: number): ShellSource {
    return new ShellSource(text, this.parseStatements, line, this.#nesting);
  }

  /** @throws OutsideSubset if constructs are nested more than 50 deep */
  deeper<T>(parse: () => T): T {
    if (this.#nesting >= MAX_NESTING) this.refuse(`it is nested more than ${MAX_NESTING} deep`);
    this.#nesting++;
    const result = parse();
    this.#nesting--;
    return result;
  }

  /** @throws OutsideSubset always */
  refuse(reason: string): never {
    throw new OutsideSubset(this.line, reason);
  }

  #newlineFrom(): number {
    return this.text.indexOf("\n", this.#countedTo);
  }
}
