import { expect, test } from "bun:test";
import { type Eviction, type EvictionCalls, settleEvictions } from "./evictions.ts";

const BUDGET =
  "Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget.";
const A: Eviction = { namespace: "shop", uid: "a" };
const B: Eviction = { namespace: "shop", uid: "b" };

/** A cluster whose clock moves only while it is waited for. */
class Cluster implements EvictionCalls<Eviction> {
  readonly pods: Map<string, number>;
  readonly tries: string[] = [];
  time = 0;
  /** What the API server answers, by time. */
  answer: (uid: string) => string | undefined = () => undefined;
  broken: string | undefined;

  /** @param ends when the pods are gone */
  constructor(ends: Readonly<Record<string, number>>) {
    this.pods = new Map(Object.entries(ends));
  }

  readonly evict = async ({ uid }: Eviction): Promise<string | undefined> => {
    this.tries.push(`${uid} at ${this.time}`);
    return this.answer(uid);
  };
  readonly podsOf = async (): Promise<ReadonlySet<string> | string> =>
    this.broken ?? new Set([...this.pods].filter(([, end]) => end > this.time).map(([uid]) => uid));
  readonly pause = async (milliseconds: number): Promise<void> => {
    this.time += milliseconds;
  };
  readonly now = (): number => this.time;
}

test("what was accepted is waited for until the pod is gone", async () => {
  const cluster = new Cluster({ a: 12_000, b: 0 });
  const settled = await settleEvictions(
    new Map([
      [A, undefined],
      [B, undefined],
    ]),
    60_000,
    cluster,
  );
  expect(settled.get(A)).toBeUndefined();
  expect(settled.size).toBe(2);
  expect(cluster.time).toBe(15_000);
  expect(cluster.tries).toEqual([]);
});

test("what a budget refuses is tried again until it is accepted", async () => {
  const cluster = new Cluster({ a: 30_000 });
  cluster.answer = () => (cluster.time < 20_000 ? BUDGET : undefined);
  expect(await settleEvictions(new Map([[A, BUDGET]]), 60_000, cluster)).toEqual(new Map([[A, undefined]]));
  expect(cluster.tries).toEqual(["a at 5000", "a at 10000", "a at 15000", "a at 20000"]);
  expect(cluster.time).toBe(30_000);
});

test("when the time is over it is said what is so then", async () => {
  const cluster = new Cluster({ a: 1e9, b: 1e9 });
  cluster.answer = () => BUDGET;
  const settled = await settleEvictions(
    new Map<Eviction, string | undefined>([
      [A, BUDGET],
      [B, undefined],
    ]),
    12_000,
    cluster,
  );
  expect(settled.get(A)).toBe(`refused until the end: ${BUDGET}`);
  expect(settled.get(B)).toBe("it was evicted, but has not ended in time");
  expect(cluster.time).toBe(12_000);
});

test("a pod that is gone, or another one with its name, needs no eviction", async () => {
  const cluster = new Cluster({});
  for (const refusal of [
    'Error from server (NotFound): pods "p" not found',
    'Error from server (Conflict): Operation cannot be fulfilled on pods "p": the UID in the precondition (a) does not match the UID in record (c).',
  ])
    expect(await settleEvictions(new Map([[A, refusal]]), 60_000, cluster)).toEqual(
      new Map([[A, undefined]]),
    );
});

test("what no time heals is not tried again", async () => {
  const forbidden = "Error from server (Forbidden): pods is forbidden";
  const cluster = new Cluster({});
  expect(await settleEvictions(new Map([[A, forbidden]]), 60_000, cluster)).toEqual(
    new Map([[A, forbidden]]),
  );
  expect(cluster.tries).toEqual([]);
});

test("pods that cannot be asked for are no pods that are gone", async () => {
  const cluster = new Cluster({ a: 0 });
  cluster.broken = "The connection to the server was refused";
  const settled = await settleEvictions(new Map([[A, undefined]]), 7000, cluster);
  expect(settled.get(A)).toContain("whether it has ended cannot be told");
});
