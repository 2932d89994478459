import { expect, test } from "bun:test";
import fc from "fast-check";
import { EVENT_REASONS, type EventRecords, type Observation, planEvents, settleEvents } from "./events.ts";

const MINUTE = 60_000;
const START = Date.parse("2026-11-24T01:00:00Z");

function observation(pod: string, message = "runs on an older molecule"): Observation {
  return {
    pod: { namespace: "shop", name: pod, uid: `uid-${pod}` },
    container: "c",
    reason: "AtomfsOutdated",
    message,
  };
}

type Step = { readonly now: number; readonly seen: readonly Observation[]; readonly refuse?: boolean };

/** Reports one after the other. @returns the events that were written at each */
function reports(steps: readonly Step[]): { readonly writes: object[][]; readonly records: EventRecords } {
  let records: EventRecords = new Map();
  const writes = steps.map(({ now, seen, refuse }) => {
    const planned = planEvents(records, seen, { now, node: "n1" });
    const due = planned.filter(({ write }) => write !== undefined);
    records = settleEvents(planned, new Set(refuse === true ? [] : due.map(({ key }) => key)), now);
    return due.flatMap(({ write }) => (write === undefined ? [] : [write.event]));
  });
  return { writes, records };
}

test("an event names its pod as Kubernetes' own events do", () => {
  const [[event]] = reports([{ now: START, seen: [observation("web-1")] }]).writes as [[object]];
  expect(event).toEqual({
    apiVersion: "v1",
    kind: "Event",
    metadata: { namespace: "shop", name: expect.stringMatching(/^web-1\.[0-9a-f]{16}$/) },
    involvedObject: { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "web-1", uid: "uid-web-1" },
    type: "Warning",
    reason: "AtomfsOutdated",
    message: "runs on an older molecule",
    count: 1,
    firstTimestamp: "2026-11-24T01:00:00Z",
    lastTimestamp: "2026-11-24T01:00:00Z",
    source: { component: "atomfs", host: "n1" },
    reportingComponent: "atomfs",
    reportingInstance: "n1",
  });
});

test("a report a minute for an hour is one event, written every quarter of an hour, that counts", () => {
  const steps = Array.from({ length: 60 }, (_, i) => ({
    now: START + i * MINUTE,
    seen: [observation("web-1")],
  }));
  const written = reports(steps).writes.flat();
  expect(written.map((event) => (event as { count: number }).count)).toEqual([1, 16, 31, 46]);
  expect(new Set(written.map((event) => (event as { metadata: { name: string } }).metadata.name)).size).toBe(
    1,
  );
  expect(written.at(-1)).toMatchObject({
    firstTimestamp: "2026-11-24T01:00:00Z",
    lastTimestamp: "2026-11-24T01:45:00Z",
  });
});

test("what changes is told at once, what ends is forgotten", () => {
  const { writes, records } = reports([
    { now: START, seen: [observation("a"), observation("b")] },
    { now: START + MINUTE, seen: [observation("a", "still older")] },
    { now: START + 2 * MINUTE, seen: [observation("a", "still older"), observation("b")] },
  ]);
  expect(writes.map((each) => each.length)).toEqual([2, 1, 1]);
  expect(writes[1]?.[0]).toMatchObject({ message: "still older", count: 2 });
  expect(writes[2]?.[0]).toMatchObject({ involvedObject: { name: "b" }, count: 1 });
  expect(records.size).toBe(2);
});

test("what was refused is told with the next report", () => {
  const seen = [observation("a")];
  const { writes } = reports([
    { now: START, seen, refuse: true },
    { now: START + MINUTE, seen },
    { now: START + 2 * MINUTE, seen },
  ]);
  expect(writes.map((each) => each.length)).toEqual([1, 1, 0]);
});

test("a node of many outdated pods tells all of them, some at a time, also if the first are refused", () => {
  const seen = Array.from({ length: 60 }, (_, i) => observation(`p-${i}`));
  const steps = Array.from({ length: 4 }, (_, i) => ({ now: START + i * MINUTE, seen, refuse: i === 0 }));
  const { writes } = reports(steps);
  expect(writes.map((each) => each.length)).toEqual([25, 25, 25, 10]);
  const told = new Set(
    writes
      .slice(1)
      .flat()
      .map((event) => JSON.stringify(event).match(/"name":"(p-\d+)","uid"/)?.[1]),
  );
  expect(told.size).toBe(60);
});

test("a clock that was set back silences nothing", () => {
  const { writes } = reports([
    { now: START, seen: [observation("a")] },
    { now: START - 100 * MINUTE, seen: [observation("a")] },
  ]);
  expect(writes[1]?.[0]).toMatchObject({ firstTimestamp: "2026-11-23T23:20:00Z", count: 2 });
});

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
/** RFC 1123, as Kubernetes asks of the names of pods and events. */
const SUBDOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`);
const podName = fc
  .array(fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?$/), { minLength: 1, maxLength: 8 })
  .map((labels) =>
    labels
      .join(".")
      .slice(0, 253)
      .replace(/[-.]+$/, ""),
  );

test("whatever is observed: names are DNS subdomains, never more than a burst, nothing told twice in a row", () => {
  const anyObservation = fc.record({
    pod: fc.record({ namespace: fc.constant("ns"), name: podName, uid: fc.uuid() }),
    container: fc.string(),
    reason: fc.constantFrom(...EVENT_REASONS),
    message: fc.string({ maxLength: 3000 }),
  });
  fc.assert(
    fc.property(fc.array(anyObservation, { maxLength: 40 }), (seen) => {
      const { writes } = reports([
        { now: START, seen },
        { now: START + 1, seen },
        { now: START + 2, seen },
        { now: START + 3, seen },
      ]);
      for (const each of writes) expect(each.length).toBeLessThanOrEqual(25);
      for (const event of writes.flat() as { metadata: { name: string }; message: string }[]) {
        expect(event.metadata.name.length).toBeLessThanOrEqual(253);
        expect(event.metadata.name).toMatch(SUBDOMAIN);
        expect(event.message.length).toBeLessThanOrEqual(1000);
      }
      const keys = new Set(seen.map((each) => `${each.pod.uid}/${each.container}/${each.reason}`));
      expect(writes.flat().length).toBe(keys.size);
    }),
    { numRuns: 50 },
  );
});
