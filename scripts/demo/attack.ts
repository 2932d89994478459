import { AtomfsError } from "../../src/core/errors.ts";
import { attackDocument, timeRequest } from "./exploit.ts";

/** Longer than the vulnerable library takes on a slow machine; an emulated one is 15 times slower. */
const ATTACK_TIMEOUT_MS = 600_000;
const POLL_PAUSE_MS = 25;

export type Attack = {
  /** How long the service took for the document. */
  readonly documentMs: number;
  /** The longest that somebody else's GET /health waited meanwhile. */
  readonly othersWaitedMs: number;
};

/**
 * Sends the document and asks /health again and again until it is answered.
 * @param url of the service, with a slash at its end
 */
export async function attack(url: string, signal: AbortSignal): Promise<Attack> {
  let isRunning = true;
  const document = async (): Promise<number> => {
    try {
      const answer = await timeRequest(url, attackDocument(), { timeoutMs: ATTACK_TIMEOUT_MS, signal });
      return answer.milliseconds;
    } finally {
      isRunning = false;
    }
  };
  const others = async (): Promise<number> => {
    let longest = 0;
    while (isRunning) {
      const asked = { timeoutMs: ATTACK_TIMEOUT_MS, signal };
      longest = Math.max(longest, (await timeRequest(`${url}health`, undefined, asked)).milliseconds);
      await Bun.sleep(POLL_PAUSE_MS);
    }
    return longest;
  };
  const [documentMs, othersWaitedMs] = await Promise.all([document(), others()]);
  return { documentMs, othersWaitedMs };
}

/** Long for an emulated machine, where Python alone needs ten seconds. */
const START_TIMEOUT_MS = 180_000;

/** Waits until a service answers. @throws AtomfsError "failed" */
export async function untilHealthy(url: string, signal: AbortSignal): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    signal.throwIfAborted();
    try {
      await timeRequest(`${url}health`, undefined, { timeoutMs: 10_000, signal });
      return;
    } catch (cause) {
      signal.throwIfAborted();
      if (performance.now() > end)
        throw new AtomfsError("failed", `The service at ${url} does not answer`, { cause });
      await Bun.sleep(100);
    }
  }
}

/** A port of this machine that nobody uses. */
export function freePort(): number {
  using server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  return server.port;
}
