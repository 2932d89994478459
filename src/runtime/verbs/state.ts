import { currentStatus, printedState } from "../oci-state.ts";
import type { Session } from "../session.ts";
import { type ContainerRecord, doesNotExist, listIds, readRecord } from "../state.ts";

/** `state ID`. @throws AtomfsError "not-found" also for a container of which only the directory was made */
export function printState(session: Session, id: string): number {
  const record = existing(session, id);
  session.print(JSON.stringify(printedState(record, currentStatus(record)), undefined, 2));
  return 0;
}

/** The record of a container that was at least begun. */
export function existing(session: Session, id: string): ContainerRecord {
  const record = readRecord(session.global.root, id);
  if (record === undefined) throw doesNotExist(id);
  return record;
}

/** `list`: every container of this root; one that cannot be read is named in the log. */
export function printList(
  session: Session,
  options: { readonly format: "table" | "json"; readonly quiet: boolean },
): number {
  const states = listIds(session.global.root).flatMap((id) => {
    try {
      const record = readRecord(session.global.root, id);
      return record === undefined ? [] : [printedState(record, currentStatus(record))];
    } catch (error) {
      session.warn(`list: ${error instanceof Error ? error.message : String(error)}`);
      return [];
    }
  });
  if (options.quiet) {
    for (const state of states) session.print(String(state["id"]));
  } else if (options.format === "json") {
    session.print(JSON.stringify(states));
  } else {
    const columns = ["id", "pid", "status", "bundle", "created", "owner"];
    const rows = [
      columns.map((name) => name.toUpperCase()),
      ...states.map((state) => columns.map((name) => String(state[name]))),
    ];
    session.print(table(rows));
  }
  return 0;
}

export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? "").length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
