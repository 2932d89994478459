import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { patience } from "../../tests/support/slowness.ts";
import { tied } from "../demo/commands.ts";
import { inNetwork, OWN_ENV, PLACE } from "./place.ts";

const LOGS = join(PLACE, "log");
const LOG_SHOWN = 2000;

/** A program of the cluster that runs until `clearPlace` ends it, or this program's own end. */
export type Daemon = { readonly name: string; readonly child: Bun.Subprocess };

export function startDaemon(
  name: string,
  network: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Daemon {
  mkdirSync(LOGS, { recursive: true });
  const log = openSync(logOf(name), "a");
  const child = Bun.spawn(tied(inNetwork(network, argv)), {
    stdin: "ignore",
    stdout: log,
    stderr: log,
    detached: true,
    env: { PATH: process.env["PATH"], HOME: "/root", ...env, ...OWN_ENV },
  });
  closeSync(log);
  child.unref();
  return { name, child };
}

function logOf(name: string): string {
  return join(LOGS, `${name}.log`);
}

/**
 * Asks again and again until it is so.
 * @param daemon whose end ends the waiting, too, with the end of its log
 * @throws AtomfsError "failed" after `seconds` of a machine of 2026
 */
export async function until(
  what: string,
  seconds: number,
  signal: AbortSignal,
  isSo: () => Promise<boolean>,
  daemon?: Daemon,
): Promise<void> {
  const end = performance.now() + patience(seconds * 1000);
  while (!(await isSo())) {
    signal.throwIfAborted();
    const hasEnded = daemon !== undefined && daemon.child.exitCode !== null;
    if (hasEnded || performance.now() > end) {
      const log =
        daemon === undefined ? "" : `: ${readFileSync(logOf(daemon.name), "utf8").slice(-LOG_SHOWN)}`;
      const why = hasEnded ? `${daemon.name} ended` : `not within ${seconds} s`;
      throw new AtomfsError("failed", `The cluster does not start: ${what}: ${why}${log}`);
    }
    await Bun.sleep(200);
  }
}
