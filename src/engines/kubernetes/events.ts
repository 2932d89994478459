import { createHash } from "node:crypto";
import type { KubernetesPod } from "../engine.ts";

/*
 * Events on pods, counted as client-go's recorder counts them: one object for each pod, container and reason, whose count and last
 * time are written anew now and then. Pure: what was told before and what is so now in, what to write out.
 */

/** Stable words; docs/kubernetes.md says what each means. */
export const EVENT_REASONS = [
  "AtomfsOutdated",
  "AtomfsShadowed",
  "AtomfsUnverified",
  "AtomfsFailedAtCreate",
] as const;
export type EventReason = (typeof EVENT_REASONS)[number];

/** What is so with a container of a pod right now. */
export type Observation = {
  readonly pod: KubernetesPod;
  readonly container: string;
  readonly reason: EventReason;
  readonly message: string;
};

/** What was told of one observation. */
export type EventRecord = {
  /** Of the Event object. */
  readonly name: string;
  /** How many reports found it so. */
  readonly count: number;
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly first: number;
  /** When the object was written last; 0 if it is to be written. */
  readonly written: number;
};

/** By pod, container and reason. */
export type EventRecords = ReadonlyMap<string, EventRecord>;

export type PlannedEvent = {
  readonly key: string;
  readonly record: EventRecord;
  /** An object of Kubernetes' core/v1; undefined if it was told a moment ago. */
  readonly write: { readonly namespace: string; readonly name: string; readonly event: object } | undefined;
};

/** An object lives for an hour unless the API server was told otherwise (`--event-ttl`): it is renewed before. */
const RENEW_MS = 15 * 60_000;
/** The burst that client-go allows one source. */
const WRITES_AT_ONCE = 25;
const MAX_MESSAGE = 1000;
/** With what follows it no longer than a DNS subdomain may be. */
const MAX_POD_IN_NAME = 253 - 17;

/**
 * One for each observation; the writes are bounded, the newest observations first, and the others come with the next reports.
 * @param now milliseconds since 1970
 */
export function planEvents(
  known: EventRecords,
  observed: readonly Observation[],
  { now, node }: { readonly now: number; readonly node: string },
): readonly PlannedEvent[] {
  const found = new Map(observed.map((each) => [keyOf(each), each] as const));
  const planned = [...found].map(([key, observation]): PlannedEvent => {
    const before = known.get(key);
    const message = observation.message.slice(0, MAX_MESSAGE);
    // A clock that was set back must not silence anything.
    const age = now - (before?.written ?? 0);
    const isTold = before?.message === message && before.written > 0 && age >= 0 && age < RENEW_MS;
    const record: EventRecord = {
      name: before?.name ?? eventName(observation.pod.name, key, now),
      count: (before?.count ?? 0) + 1,
      message,
      first: Math.min(before?.first ?? now, now),
      written: isTold ? before.written : 0,
    };
    const write = isTold ? undefined : writeOf(record, observation, now, node);
    return { key, record, write };
  });
  const due = planned.filter(({ write }) => write !== undefined);
  const first = new Set(due.toSorted((a, b) => a.record.count - b.record.count).slice(0, WRITES_AT_ONCE));
  return planned.map((each) => (first.has(each) ? each : { ...each, write: undefined }));
}

/** What to remember. @param written keys of the writes that succeeded, at `now` */
export function settleEvents(
  planned: readonly PlannedEvent[],
  written: ReadonlySet<string>,
  now: number,
): EventRecords {
  return new Map(
    planned.map(({ key, record }) => [key, written.has(key) ? { ...record, written: now } : record] as const),
  );
}

function keyOf({ pod, container, reason }: Observation): string {
  return `${pod.uid}/${container}/${reason}`;
}

/** As client-go's names: what it is about, and a number that no other has. */
function eventName(pod: string, key: string, now: number): string {
  const suffix = createHash("sha256").update(`${key} ${now}`).digest("hex").slice(0, 16);
  return `${pod.slice(0, MAX_POD_IN_NAME).replace(/[-.]+$/, "")}.${suffix}`;
}

function writeOf(
  record: EventRecord,
  { pod, reason }: Observation,
  now: number,
  node: string,
): NonNullable<PlannedEvent["write"]> {
  const { namespace, name: podName, uid } = pod;
  const { name, count, first, message } = record;
  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { namespace, name },
    involvedObject: { apiVersion: "v1", kind: "Pod", namespace, name: podName, uid },
    type: "Warning",
    reason,
    message,
    count,
    firstTimestamp: timestamp(first),
    lastTimestamp: timestamp(now),
    source: { component: "atomfs", host: node },
    reportingComponent: "atomfs",
    reportingInstance: node,
  };
  return { namespace, name, event };
}

/** Kubernetes' Time has whole seconds. */
export function timestamp(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, "Z");
}
