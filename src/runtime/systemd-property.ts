import { AtomfsError } from "../core/errors.ts";

/** A property of a unit as busctl(1) wants it: the D-Bus signature and the value's words. */
export type SystemdProperty = {
  readonly name: string;
  readonly signature: "s" | "b" | "i" | "u" | "x" | "t" | "as" | "au";
  /** Of an array: first the count. */
  readonly values: readonly string[];
};

const INTEGERS = { int32: "i", uint32: "u", int64: "x", uint64: "t" } as const;

/**
 * An annotation `org.systemd.property.NAME` in GVariant's text form, as runc and crun take it: 'text', true, 5, uint64 5, ['a','b'].
 * A number for "...Sec" is in seconds and becomes "...USec", in microseconds.
 * @throws AtomfsError "bad-data"
 */
export function parseProperty(name: string, text: string): SystemdProperty {
  if (!/^[A-Z][A-Za-z0-9]{2,100}$/.test(name)) refuse(name, "is no name of a property");
  const value = text.trim();
  const string = quoted(value);
  if (string !== undefined) return { name, signature: "s", values: [string] };
  if (value === "true" || value === "false") return { name, signature: "b", values: [value] };
  const integer = /^(?:(u?int(?:32|64)) +)?(-?[0-9]{1,19})$/.exec(value);
  if (integer?.[2] !== undefined) return number(name, integer[1] ?? "int32", BigInt(integer[2]));
  const list = /^\[(.*)\]$/s
    .exec(value)?.[1]
    ?.split(",")
    .map((item) => quoted(item.trim()));
  const strings = list?.filter((item) => item !== undefined);
  if (strings === undefined || strings.length !== list?.length)
    refuse(name, `has a value that is not understood: ${value.slice(0, 100)}`);
  return { name, signature: "as", values: [String(strings.length), ...strings] };
}

function number(name: string, type: string, value: bigint): SystemdProperty {
  if (name.endsWith("Sec") && !name.endsWith("USec")) {
    if (value < 0n) refuse(name, "is negative");
    return {
      name: `${name.slice(0, -"Sec".length)}USec`,
      signature: "t",
      values: [String(value * 1_000_000n)],
    };
  }
  const known = Object.entries(INTEGERS).find(([each]) => each === type);
  if (known === undefined) refuse(name, `has the type ${type}`);
  if (value < 0n && type.startsWith("u")) refuse(name, "is negative");
  return { name, signature: known[1], values: [String(value)] };
}

/** Without escapes: who needs a quotation mark in a string takes the other one around it. */
function quoted(text: string): string | undefined {
  return /^'([^'\\]*)'$/.exec(text)?.[1] ?? /^"([^"\\]*)"$/.exec(text)?.[1];
}

function refuse(name: string, why: string): never {
  throw new AtomfsError(
    "bad-data",
    `Cannot use config.json: the annotation org.systemd.property.${name.slice(0, 100)} ${why}`,
  );
}
