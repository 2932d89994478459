import { test } from "bun:test";
import { patience } from "./slowness.ts";

/**
 * A test that this machine may be unable to run. With a reason it is skipped, and the reason is part of its name, which
 * is what the summary of `npm test` shows.
 */
export function testUnless(
  reason: string | undefined,
  name: string,
  body: () => void | Promise<void>,
  timeoutMs?: number,
): void {
  if (reason !== undefined) test.skip(`${name} [${reason}]`, body);
  else test(name, body, timeoutMs === undefined ? undefined : patience(timeoutMs));
}
