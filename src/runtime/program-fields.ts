import type { Cursor } from "../bytes/cursor.ts";
import { type ByteString, toBytes } from "../core/bytestring.ts";

/**
 * Kinds of fields of a launch program (docs/formats/launch-program.md). `letters` is how native/program.c names the kind.
 * A value that its field cannot hold is the planner's bug: RangeError. Reading throws AtomfsError "bad-data".
 */
export type FieldCodec<T> = {
  readonly letters: string;
  write(out: Uint8Array[], value: T): void;
  read(input: Cursor, name: string): T;
};

function number(value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${value} is not in ${min} to ${max}`);
  }
  return value;
}

function writeU32(out: Uint8Array[], value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number(value, 0, 2 ** 32 - 1));
  out.push(bytes);
}

export const u32: FieldCodec<number> = {
  letters: "u",
  write: writeU32,
  read: (input, name) => input.u32(name),
};

export const i32: FieldCodec<number> = {
  letters: "u",
  write: (out, value) => writeU32(out, number(value, -(2 ** 31), 2 ** 31 - 1) >>> 0),
  read: (input, name) => input.u32(name) | 0,
};

export const u64: FieldCodec<bigint> = {
  letters: "U",
  write(out, value) {
    if (BigInt.asUintN(64, value) !== value)
      throw new RangeError(`${value} is not an unsigned 64-bit number`);
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    out.push(bytes);
  },
  read(input, name) {
    const low = BigInt(input.u32(name));
    return low | (BigInt(input.u32(name)) << 32n);
  },
};

export const text: FieldCodec<ByteString> = {
  letters: "s",
  write(out, value) {
    if (value.includes("\0")) throw new RangeError("A string of a launch program holds a NUL");
    writeU32(out, value.length);
    out.push(toBytes(value), Buffer.alloc(1));
  },
  read(input, name) {
    const value = input.byteString(input.u32(name), name);
    if (value.includes("\0") || input.u8(name) !== 0) throw input.bad(`${name} is not ended by its only NUL`);
    return value;
  },
};

export const bytes: FieldCodec<Uint8Array> = {
  letters: "b",
  write(out, value) {
    writeU32(out, value.length);
    out.push(value);
  },
  read: (input, name) => Uint8Array.from(input.bytes(input.u32(name), name)),
};

function list<T>(letters: string, element: FieldCodec<T>): FieldCodec<readonly T[]> {
  return {
    letters,
    write(out, values) {
      writeU32(out, values.length);
      for (const value of values) element.write(out, value);
    },
    read(input, name) {
      const values: T[] = [];
      // An element has bytes, so a count that lies ends at the end of the input.
      for (let left = input.u32(name); left > 0; left--) values.push(element.read(input, name));
      return values;
    },
  };
}

export const texts: FieldCodec<readonly ByteString[]> = list("l", text);
export const numbers: FieldCodec<readonly number[]> = list("n", u32);
export const descriptor: FieldCodec<number> = { ...u32, letters: "d" };
export const descriptors: FieldCodec<readonly number[]> = list("D", descriptor);

/** Keys and values in turn, as one list of strings. */
export const pairs: FieldCodec<readonly (readonly [key: ByteString, value: ByteString])[]> = {
  letters: "l",
  write: (out, values) => texts.write(out, values.flat()),
  read(input, name) {
    const found: (readonly [ByteString, ByteString])[] = [];
    const count = input.u32(name);
    if (count % 2 !== 0) throw input.bad(`${name} has a key without a value`);
    for (let left = count; left > 0; left -= 2) {
      found.push([text.read(input, name), text.read(input, name)]);
    }
    return found;
  },
};

export function oneOf<const T extends string>(...names: readonly T[]): FieldCodec<T> {
  return {
    letters: `${names.length - 1}`,
    write: (out, value) => writeU32(out, number(names.indexOf(value), 0, names.length - 1)),
    read(input, name) {
      const index = input.u32(name);
      const value = names[index];
      if (value === undefined) throw input.bad(`${name} is ${index}, not below ${names.length}`);
      return value;
    },
  };
}

const flag = oneOf("no", "yes");

export const bool: FieldCodec<boolean> = {
  letters: flag.letters,
  write: (out, value) => flag.write(out, value ? "yes" : "no"),
  read: (input, name) => flag.read(input, name) === "yes",
};

/** The fields of a record in the order in which they are written. */
export type RecordFields<T> = { readonly [F in keyof T]-?: FieldCodec<T[F]> };

export function record<T extends object>(fields: RecordFields<T>): FieldCodec<T> {
  const entries = Object.entries(fields) as [keyof T & string, FieldCodec<T[keyof T]>][];
  return {
    letters: entries.map(([, codec]) => codec.letters).join(""),
    write(out, value) {
      for (const [name, codec] of entries) codec.write(out, value[name]);
    },
    read: (input) =>
      Object.fromEntries(entries.map(([name, codec]) => [name, codec.read(input, name)])) as unknown as T,
  };
}

/** A boolean, then the value; `absent` is written where there is none. */
export function optional<T>(codec: FieldCodec<T>, absent: T): FieldCodec<T | undefined> {
  return {
    letters: bool.letters + codec.letters,
    write(out, value) {
      bool.write(out, value !== undefined);
      codec.write(out, value ?? absent);
    },
    read(input, name) {
      const present = bool.read(input, name);
      const value = codec.read(input, name);
      return present ? value : undefined;
    },
  };
}
