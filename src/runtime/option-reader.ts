import { AtomfsError } from "../core/errors.ts";
import type { OptionTable } from "./option-tables.ts";

/** What a command line says, option by option. */
export class Values {
  /** What is no option and no option's value. */
  readonly words: readonly string[];
  readonly #named: ReadonlyMap<string, readonly (string | boolean)[]>;

  constructor(words: readonly string[], named: ReadonlyMap<string, readonly (string | boolean)[]>) {
    this.words = words;
    this.#named = named;
  }

  has(name: string): boolean {
    return (this.#named.get(name)?.at(-1) ?? false) !== false;
  }

  /** Undefined if nothing is said; "--NAME=false" is false. */
  flag(name: string): boolean | undefined {
    return this.#named.has(name) ? this.has(name) : undefined;
  }

  /** What was said last counts: conmon-rs says --root twice. */
  text(name: string): string | undefined {
    const value = this.#named.get(name)?.at(-1);
    return typeof value === "string" ? value : undefined;
  }

  texts(name: string): string[] {
    return (this.#named.get(name) ?? []).filter((value) => typeof value === "string");
  }

  count(name: string): number {
    const text = this.text(name);
    if (text === undefined) return 0;
    if (!/^[0-9]{1,5}$/.test(text)) throw usage(`--${name} wants a number, not ${JSON.stringify(text)}`);
    return Number(text);
  }
}

export function usage(message: string): AtomfsError {
  return new AtomfsError("usage", message);
}

/** One word that begins with a dash, taken apart. */
export type OptionWord = {
  /** As it was written, without a value. */
  readonly shown: string;
  /** As the table has it; undefined: the table has none. */
  readonly name: string | undefined;
  readonly type: "string" | "boolean" | undefined;
  /** Of the same word, after "=". */
  readonly value: string | undefined;
};

/**
 * As Go's flag package reads options, which engines write for: one dash or two before a name, short or long, and a value in the same
 * word after "=" or in the next one. "-dt" is the option "dt". Undefined for what is no option: "-", and words without a dash.
 * @throws AtomfsError "usage" for dashes without a name
 */
export function optionWord(word: string, table: OptionTable, of: string): OptionWord | undefined {
  if (word.length < 2 || !word.startsWith("-")) return undefined;
  const [, dashes = "", written = "", value] = /^(--?)([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  if (written === "" || written.startsWith("-")) throw usage(`${of}: '${word}' is no option`);
  const name = Object.hasOwn(table, written)
    ? written
    : Object.keys(table).find((each) => table[each]?.short === written);
  return {
    shown: dashes + written,
    name,
    type: name === undefined ? undefined : table[name]?.type,
    value,
  };
}

/**
 * Reads options wherever they stand. "--" ends them. Not node:util's parseArgs, which takes longer to load than a short call to
 * answer.
 * @param of for complaints: whose options these are
 * @param toFirstWord everything from the first word on are words
 * @throws AtomfsError "usage" for options that are not in the table, and for values that are absent or wrong
 */
export function readOptions(
  argv: readonly string[],
  table: OptionTable,
  of: string,
  toFirstWord = false,
): Values {
  const named = new Map<string, (string | boolean)[]>();
  const words: string[] = [];
  const left = argv.values();
  for (const word of left) {
    const option = word === "--" ? undefined : optionWord(word, table, of);
    if (word === "--") {
      words.push(...left);
    } else if (option === undefined) {
      words.push(word, ...(toFirstWord ? left : []));
    } else {
      const { shown, name, type, value } = option;
      if (name === undefined) throw usage(`${of}: Unknown option '${shown}'`);
      const said = type === "boolean" ? readFlag(option, of) : (value ?? left.next().value);
      if (said === undefined) throw usage(`${of}: Option '${shown}' wants a value`);
      named.set(name, [...(named.get(name) ?? []), said]);
    }
  }
  return new Values(words, named);
}

/** strconv.ParseBool */
const TRUE: readonly string[] = ["1", "t", "T", "TRUE", "true", "True"];
const FALSE: readonly string[] = ["0", "f", "F", "FALSE", "false", "False"];

function readFlag({ shown, value }: OptionWord, of: string): boolean {
  if (value === undefined || TRUE.includes(value)) return true;
  if (FALSE.includes(value)) return false;
  throw usage(`${of}: Option '${shown}' is true or false, not ${JSON.stringify(value)}`);
}
