import { expect, test } from "bun:test";
import { TemporaryStore } from "../../../tests/support/temporary-store.ts";
import { lockEventRecords, readEventRecords, writeEventRecords } from "./event-records.ts";

/** What a report does: reads, waits for Kubernetes, writes one count more. */
async function count({ store: { layout } }: TemporaryStore, key: string): Promise<void> {
  using _lock = await lockEventRecords(layout);
  const known = readEventRecords(layout);
  await Bun.sleep(5);
  const record = { name: key, message: "m", first: 1, written: 1, count: (known.get(key)?.count ?? 0) + 1 };
  writeEventRecords(layout, new Map(known).set(key, record));
}

test("two reports at once lose nothing of each other", async () => {
  using temporary = new TemporaryStore();
  await Promise.all(["a", "b", "a", "b", "a"].map((key) => count(temporary, key)));
  const counts = [...readEventRecords(temporary.store.layout)].map(([key, record]) => [key, record.count]);
  expect(Object.fromEntries(counts)).toEqual({ a: 3, b: 2 });
});

test("a report that is told to end does not wait for another", async () => {
  using temporary = new TemporaryStore();
  using _held = await lockEventRecords(temporary.store.layout);
  expect(lockEventRecords(temporary.store.layout, AbortSignal.abort())).rejects.toMatchObject({
    kind: "interrupted",
  });
});
