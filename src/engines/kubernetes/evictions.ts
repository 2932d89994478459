/*
 * Evictions until their time is over: what is refused for now is asked for again, and what was accepted is waited for until the pod
 * is gone, as `kubectl drain` does.
 */

/** As `kubectl drain` waits between two tries. */
const INTERVAL_MS = 5000;

export type Eviction = { readonly namespace: string; readonly uid: string };

export type EvictionCalls<E> = {
  /** @returns why not, in one sentence of kubectl's */
  readonly evict: (eviction: E) => Promise<string | undefined>;
  /** Uids of the namespace's pods, or why they cannot be told. */
  readonly podsOf: (namespace: string) => Promise<ReadonlySet<string> | string>;
  /** Waits. @throws if the command was interrupted */
  readonly pause: (milliseconds: number) => Promise<void>;
  /** Milliseconds of a clock that is never set. */
  readonly now: () => number;
};

/**
 * A refusal that says that the pod is not there any more: the API server's reasons are in kubectl's sentence. "Conflict" is also what it
 * says of another pod with that name, by the uid that the eviction has.
 */
export function isGoneAlready(refusal: string): boolean {
  return /\((NotFound|Conflict)\)/.test(refusal);
}

/** One that may pass: a PodDisruptionBudget, an API server that is busy or does not answer. */
function mayPass(refusal: string): boolean {
  return /\((TooManyRequests|InternalError|ServiceUnavailable|Timeout|ServerTimeout)\)|did not end within/.test(
    refusal,
  );
}

/**
 * @param refusals what the first try of each came to
 * @param end of `now()`
 * @returns for each why it did not come to its end; undefined: its pod is gone
 */
export async function settleEvictions<E extends Eviction>(
  refusals: ReadonlyMap<E, string | undefined>,
  end: number,
  calls: EvictionCalls<E>,
): Promise<ReadonlyMap<E, string | undefined>> {
  const settled = new Map<E, string | undefined>();
  const refused = new Map<E, string>();
  const accepted = new Set<E>();
  const sort = (eviction: E, refusal: string | undefined): void => {
    refused.delete(eviction);
    if (refusal === undefined) accepted.add(eviction);
    else if (isGoneAlready(refusal)) settled.set(eviction, undefined);
    else if (mayPass(refusal)) refused.set(eviction, refusal);
    else settled.set(eviction, refusal);
  };
  for (const [eviction, refusal] of refusals) sort(eviction, refusal);
  for (;;) {
    const unseen = await removeGone(accepted, settled, calls);
    const left = end - calls.now();
    if (refused.size + accepted.size === 0) return settled;
    if (left <= 0) {
      for (const [eviction, refusal] of refused) settled.set(eviction, `refused until the end: ${refusal}`);
      for (const eviction of accepted)
        settled.set(eviction, unseen ?? "it was evicted, but has not ended in time");
      return settled;
    }
    await calls.pause(Math.min(INTERVAL_MS, left));
    for (const eviction of [...refused.keys()]) sort(eviction, await calls.evict(eviction));
  }
}

/** @returns why it could not be seen of some, if so */
async function removeGone<E extends Eviction>(
  accepted: Set<E>,
  settled: Map<E, string | undefined>,
  calls: EvictionCalls<E>,
): Promise<string | undefined> {
  let unseen: string | undefined;
  for (const [namespace, some] of Map.groupBy(accepted, (each) => each.namespace)) {
    const uids = await calls.podsOf(namespace);
    if (typeof uids === "string") {
      unseen = `it was evicted; whether it has ended cannot be told: ${uids}`;
      continue;
    }
    for (const each of some.filter(({ uid }) => !uids.has(uid))) {
      accepted.delete(each);
      settled.set(each, undefined);
    }
  }
  return unseen;
}
