import { AtomfsError } from "../../../core/errors.ts";

/** Engines write files of some 20 kB; a privileged container on a machine with thousands of devices some hundreds. */
const MAX_BYTES: number = 4 * 1024 * 1024;
const MAX_ITEMS = 100_000;

/** @throws AtomfsError always: "bad-data", naming the field */
export function refuse(field: string, why: string): never {
  throw new AtomfsError("bad-data", `Cannot use config.json: ${field} ${why}`);
}

/**
 * JSON whose integers stay exact: those beyond 2^53 (limits of 2^64 - 1, masks of seccomp rules) come as bigint.
 * @throws AtomfsError "bad-data"
 */
export function parseExactJson(bytes: Uint8Array): unknown {
  if (bytes.length > MAX_BYTES)
    throw new AtomfsError("bad-data", `Cannot use config.json: it is longer than ${MAX_BYTES} bytes`);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    // A reviver costs more than the parsing; nearly no file needs it.
    return /\d{16}/.test(text) ? JSON.parse(text, exactInteger) : JSON.parse(text);
  } catch (cause) {
    throw new AtomfsError("bad-data", "Cannot use config.json: it is not JSON", { cause });
  }
}

function exactInteger(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== "number" || Number.isSafeInteger(value) || source === undefined) return value;
  return /^-?\d{1,40}$/.test(source) ? BigInt(source) : value;
}

/** A value of the file and where it stands, "linux.namespaces[2].type": every way of reading it names the field if it is wrong. */
export class Field {
  readonly name: string;
  readonly #value: unknown;
  readonly #unknown: string[];

  constructor(name: string, value: unknown, unknown: string[]) {
    this.name = name;
    this.#value = value;
    this.#unknown = unknown;
  }

  /** Absent or null, which is how Go writes nothing. */
  get absent(): boolean {
    return this.#value === undefined || this.#value === null;
  }

  refuse(why: string): never {
    refuse(this.name, why);
  }

  /** Each property by name; those that are not asked for are noted as unknown. @throws AtomfsError "bad-data" unless it is an object */
  object<K extends string>(...known: readonly K[]): { readonly [key in K]: Field } {
    const value = this.#value;
    if (typeof value !== "object" || value === null || Array.isArray(value)) this.refuse("is not an object");
    const properties = value as { readonly [key: string]: unknown };
    const prefix = this.name === "" ? "" : `${this.name}.`;
    for (const key of Object.keys(properties)) {
      if (!(known as readonly string[]).includes(key)) this.#unknown.push(prefix + key);
    }
    const field = (key: K): Field =>
      new Field(prefix + key, Object.hasOwn(properties, key) ? properties[key] : undefined, this.#unknown);
    return Object.fromEntries(known.map((key) => [key, field(key)])) as { readonly [key in K]: Field };
  }

  /** Absent: no items. */
  list<T>(item: (field: Field) => T): T[] {
    if (this.absent) return [];
    const value = this.#value;
    if (!Array.isArray(value)) this.refuse("is not a list");
    if (value.length > MAX_ITEMS) this.refuse(`has more than ${MAX_ITEMS} items`);
    return value.map((element, i) => item(new Field(`${this.name}[${i}]`, element, this.#unknown)));
  }

  /** Absent: no entries. */
  map<T>(entry: (field: Field) => T): Map<string, T> {
    const map = new Map<string, T>();
    if (this.absent) return map;
    const value = this.#value;
    if (typeof value !== "object" || value === null || Array.isArray(value)) this.refuse("is not an object");
    for (const [key, element] of Object.entries(value)) {
      if (key.includes("\0")) this.refuse("has a name with a NUL");
      map.set(key, entry(new Field(`${this.name}.${key}`, element, this.#unknown)));
    }
    return map;
  }

  /** Reads it unless it is absent. */
  optional<T>(read: (field: Field) => T): T | undefined {
    return this.absent ? undefined : read(this);
  }

  text(): string {
    if (typeof this.#value !== "string") this.refuse("is not a string");
    if (this.#value.includes("\0")) this.refuse("has a NUL");
    return this.#value;
  }

  /** As Go omits it: absent and "" are the same. */
  optionalText(): string | undefined {
    const text = this.optional((field) => field.text());
    return text === "" ? undefined : text;
  }

  texts(): string[] {
    return this.list((field) => field.text());
  }

  absolutePath(): string {
    const text = this.text();
    if (!text.startsWith("/")) this.refuse(`is not an absolute path: ${JSON.stringify(text.slice(0, 200))}`);
    return text;
  }

  oneOf<T extends string>(values: readonly T[]): T {
    const text = this.text();
    const found = values.find((value) => value === text);
    return found ?? this.refuse(`is ${JSON.stringify(text.slice(0, 100))}, want one of ${values.join(" ")}`);
  }

  /** Absent: false. */
  flag(): boolean {
    if (this.absent) return false;
    if (typeof this.#value !== "boolean") this.refuse("is not true or false");
    return this.#value;
  }

  integer(least: bigint, most: bigint): bigint {
    const value = this.#value;
    const whole = typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value));
    if (!whole) this.refuse("is not an integer");
    const integer = BigInt(value);
    if (integer < least || integer > most) this.refuse(`is ${integer}, want ${least} to ${most}`);
    return integer;
  }

  number(least: number, most: number): number {
    return Number(this.integer(BigInt(least), BigInt(most)));
  }

  signed64(): bigint {
    return this.integer(-(2n ** 63n), 2n ** 63n - 1n);
  }

  unsigned64(): bigint {
    return this.integer(0n, 2n ** 64n - 1n);
  }

  unsigned32(): number {
    return this.number(0, 2 ** 32 - 1);
  }
}
