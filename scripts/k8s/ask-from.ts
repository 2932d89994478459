/**
 * Requests without a pause, for a process in another network: bun ask-from.ts URL..., until its stdin ends.
 * Its answer is JSON on stdout: how many requests there were, and what went wrong with those that failed.
 */
import { timeRequest } from "../demo/exploit.ts";

const PAUSE_MS = 20;
/** What is slower than that is a failure: the machine may be busy. */
const TIMEOUT_MS = 60_000;

let isAsked = true;
let asked = 0;
const failures: string[] = [];

async function askAgainAndAgain(url: string): Promise<void> {
  while (isAsked) {
    asked += 1;
    try {
      const { status } = await timeRequest(url, undefined, { timeoutMs: TIMEOUT_MS });
      if (status !== 200) failures.push(`${url}: status ${status}`);
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
    await Bun.sleep(PAUSE_MS);
  }
}

const asking = Promise.all(process.argv.slice(2).map(askAgainAndAgain));
await Bun.stdin.text();
isAsked = false;
await asking;
process.stdout.write(`${JSON.stringify({ asked, failures })}\n`);
