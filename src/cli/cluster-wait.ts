import { setTimeout as sleep } from "node:timers/promises";
import { settleEvictions } from "../engines/kubernetes/evictions.ts";
import {
  callRestart,
  type KubectlOptions,
  podUids,
  restartCall,
  waitCall,
} from "../engines/kubernetes/kubectl.ts";
import type { Restart } from "../engines/kubernetes/owners.ts";
import type { Context } from "./context.ts";

export type Outcome = Restart & { readonly error: string | undefined };

/**
 * Waits until rollouts have come to their end and evicted pods are gone; evictions that were refused for now are asked for again.
 * What does not come to its end in time is an error of its own; the others are waited for all the same.
 * @param limitMs for all together
 */
export async function waitForAll(
  context: Context,
  outcomes: readonly Outcome[],
  limitMs: number,
  options: KubectlOptions,
): Promise<readonly Outcome[]> {
  const end = performance.now() + limitMs;
  // At the same time: a budget may allow an eviction only once a rollout has made new pods.
  const [rolledOut, evicted] = await Promise.all([
    waitForRollouts(context, outcomes, end, options),
    waitForEvictions(context, outcomes, end, options),
  ]);
  const errors = new Map([...rolledOut, ...evicted]);
  return outcomes.map((each) => (errors.has(each) ? { ...each, error: errors.get(each) } : each));
}

type Errors = ReadonlyMap<Outcome, string | undefined>;

async function waitForRollouts(
  context: Context,
  outcomes: readonly Outcome[],
  end: number,
  options: KubectlOptions,
): Promise<Errors> {
  const errors = new Map<Outcome, string | undefined>();
  for (const outcome of outcomes) {
    if (outcome.how !== "rollout" || outcome.error !== undefined) continue;
    context.signal.throwIfAborted();
    context.output.progress(`waiting for ${targetOf(outcome)}`);
    errors.set(outcome, await callRestart(waitCall(outcome, end - performance.now()), options));
  }
  return errors;
}

type Evicted = Extract<Outcome, { how: "evict" }>;

async function waitForEvictions(
  context: Context,
  outcomes: readonly Outcome[],
  end: number,
  options: KubectlOptions,
): Promise<Errors> {
  const evictions = outcomes
    .filter((each): each is Evicted => each.how === "evict")
    .map((outcome) => ({ outcome, namespace: outcome.owner.namespace, uid: outcome.uid }));
  const first = new Map(evictions.map((each) => [each, each.outcome.error] as const));
  const settled = await settleEvictions(first, end, {
    evict: ({ outcome }) => callRestart(restartCall(outcome), options),
    podsOf: (namespace) => podUids(namespace, options),
    pause: async (milliseconds) => {
      context.output.progress("waiting for evictions");
      // A signal ends the wait at once; what it was is thrown below.
      await sleep(milliseconds, undefined, { signal: context.signal }).catch(() => undefined);
      context.signal.throwIfAborted();
    },
    now: () => performance.now(),
  });
  return new Map([...settled].map(([{ outcome }, error]) => [outcome, error] as const));
}

export function targetOf({ how, owner, pods }: Restart): string {
  // Static pods; a Node has no namespace.
  if (owner.kind === "Node") return `node ${owner.name}`;
  return how === "evict"
    ? `pod ${owner.namespace}/${pods[0]}`
    : `${owner.kind.toLowerCase()} ${owner.namespace}/${owner.name}`;
}
