import { expect, test } from "bun:test";
import { TemporaryStore } from "../../tests/support/temporary-store.ts";
import { AtomfsError } from "../core/errors.ts";
import { readEventRecords } from "../engines/kubernetes/event-records.ts";
import type { Observation } from "../engines/kubernetes/events.ts";
import { tellEvents } from "./report.ts";

const observed = ["a", "b", "c"].map(
  (name): Observation => ({
    pod: { namespace: "shop", name, uid: `uid-${name}` },
    container: "c",
    reason: "AtomfsOutdated",
    message: "runs on an older molecule",
  }),
);

const ON_N1 = { node: "n1", signal: new AbortController().signal };

test("an API server that stops to answer is not asked again, and what was told is remembered", async () => {
  using temporary = new TemporaryStore();
  const asked: string[] = [];
  const told = await tellEvents(temporary.store, observed, {
    ...ON_N1,
    async write({ name }) {
      asked.push(name);
      if (asked.length === 2) throw new AtomfsError("failed", "kubectl did not end within 60 s");
      return undefined;
    },
  });
  expect(told).toEqual({ written: 1, failed: ["kubectl did not end within 60 s"] });
  expect(asked).toHaveLength(2);
  const records = [...readEventRecords(temporary.store.layout).values()];
  expect(records.map(({ written }) => written > 0)).toEqual([true, false, false]);
});

test("one refusal does not keep the others from being told", async () => {
  using temporary = new TemporaryStore();
  const told = await tellEvents(temporary.store, observed, {
    ...ON_N1,
    write: async ({ event }) => (JSON.stringify(event).includes('"name":"b"') ? "forbidden" : undefined),
  });
  expect(told).toEqual({ written: 2, failed: ["forbidden"] });
});
