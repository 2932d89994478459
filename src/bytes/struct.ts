import type { Cursor } from "./cursor.ts";
import type { FixedWriter } from "./fixed-writer.ts";

const WIDTHS = { u8: 1, u16: 2, u32: 4, u64: 8, i64: 8 } as const;

/** A field's kind; a number is that many reserved bytes, written as zeros and not looked at. */
export type FieldKind = keyof typeof WIDTHS | number;

/** The fields of an on-disk structure in order, without gaps: every hole is named. */
export type StructTable = readonly (readonly [name: string, kind: FieldKind])[];

type Values<T extends StructTable> = { readonly [K in T[number][0]]: number };

export function structSize(table: StructTable): number {
  return table.reduce((sum, [, kind]) => sum + (typeof kind === "number" ? kind : WIDTHS[kind]), 0);
}

/** Reads a structure at the cursor. Reserved fields come out as 0. @throws AtomfsError "bad-data" */
export function readStruct<const T extends StructTable>(cursor: Cursor, table: T): Values<T> {
  const values: Record<string, number> = {};
  for (const [name, kind] of table) values[name] = readField(cursor, name, kind);
  return values as Values<T>;
}

/** Writes a structure; a field that is not given is 0. @throws RangeError for a value its field cannot hold */
export function writeStruct<const T extends StructTable>(
  writer: FixedWriter,
  table: T,
  values: Partial<Values<T>>,
): void {
  const given: Record<string, number | undefined> = values;
  for (const [name, kind] of table) {
    if (typeof kind === "number") writer.seek(writer.at + kind);
    else writer[kind](given[name] ?? 0);
  }
}

function readField(cursor: Cursor, name: string, kind: FieldKind): number {
  if (typeof kind !== "number") return cursor[kind](name);
  cursor.skip(kind, name);
  return 0;
}
