import { AtomfsError } from "../core/errors.ts";
import type { OptionTable } from "./option-tables.ts";

/** What a command line says, option by option. */
export class Values {
  /** What is no option and no option's value. */
  readonly words: readonly string[];
  readonly #named: ReadonlyMap<string, readonly (string | true)[]>;

  constructor(words: readonly string[], named: ReadonlyMap<string, readonly (string | true)[]>) {
    this.words = words;
    this.#named = named;
  }

  has(name: string): boolean {
    return this.#named.has(name);
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

/**
 * Reads options as the engines write them: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-dt`, and Go's `--flag=true`. "--" ends
 * them. Not node:util's parseArgs, which takes longer to load than a short call to answer.
 * @param of for complaints: whose options these are
 * @param toFirstWord everything from the first word on are words
 * @throws AtomfsError "usage" for options that are not in the table, and for values that are absent or one too many
 */
export function readOptions(
  argv: readonly string[],
  table: OptionTable,
  of: string,
  toFirstWord = false,
): Values {
  const named = new Map<string, (string | true)[]>();
  const words: string[] = [];
  const left = argv.values();
  /** @param glued the value in the same word, if there is one */
  const take = (name: string, shown: string, glued: string | undefined): void => {
    const value = glued ?? left.next().value;
    if (value === undefined) throw usage(`${of}: Option '${shown}' wants a value`);
    named.set(name, [...(named.get(name) ?? []), value]);
  };
  for (const word of left) {
    const isOption = word.length > 1 && word.startsWith("-");
    if (word === "--" || (!isOption && toFirstWord)) {
      words.push(...(isOption ? [] : [word]), ...left);
    } else if (!isOption) {
      words.push(word);
    } else if (word.startsWith("--")) {
      const equals = word.indexOf("=");
      const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
      const value = equals < 0 ? undefined : word.slice(equals + 1);
      const type = Object.hasOwn(table, name) ? table[name]?.type : undefined;
      if (type === undefined) throw usage(`${of}: Unknown option '--${name}'`);
      if (type === "string") take(name, `--${name}`, value);
      else if (value === undefined || value === "true") named.set(name, [true]);
      else if (value === "false") named.delete(name);
      else throw usage(`${of}: Option '--${name}' takes no value`);
    } else {
      readShort(word, table, of, take, (name) => named.set(name, [true]));
    }
  }
  return new Values(words, named);
}

/** One word of short options: flags, and at the end perhaps one with a value. */
function readShort(
  word: string,
  table: OptionTable,
  of: string,
  take: (name: string, shown: string, glued: string | undefined) => void,
  flag: (name: string) => void,
): void {
  for (let i = 1; i < word.length; i++) {
    const [name, option] = Object.entries(table).find(([, { short }]) => short === word[i]) ?? [];
    if (name === undefined || option === undefined) throw usage(`${of}: Unknown option '-${word[i]}'`);
    if (option.type === "string") {
      const glued = word.slice(i + 1);
      take(name, `-${word[i]}`, glued === "" ? undefined : glued);
      return;
    }
    flag(name);
  }
}
