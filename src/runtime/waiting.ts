import { constants } from "node:os";
import { setImmediate as turn } from "node:timers/promises";
import { openProcess, signalProcess, waitChild, waitEnded } from "../sys/pid.ts";
import type { ProcessName } from "./state.ts";

/** Signals that somebody sends to a waiting crio-lxc are meant for the container. */
const FORWARDED = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
/** The end is seen at once; a signal may wait this long. Signals that come soon are of a person who is waiting. */
const TURN_MS = { first: 5, later: 50 } as const;
const FIRST_TURNS = 200;

/**
 * Waits for a child that this process adopted as its subreaper, and passes signals on to it.
 * @returns its exit code, 128 + signal if a signal ended it; 255 if somebody else has reaped it
 */
export async function waitForAdopted(child: ProcessName): Promise<number> {
  using pidfd = openProcess(child.pid, child.startTime);
  if (pidfd !== undefined) {
    const forward = (name: NodeJS.Signals): void => {
      signalProcess(pidfd, constants.signals[name]);
    };
    for (const name of FORWARDED) process.on(name, forward);
    try {
      for (let n = 0; !waitEnded(pidfd, n < FIRST_TURNS ? TURN_MS.first : TURN_MS.later); n++) await turn();
    } finally {
      for (const name of FORWARDED) process.off(name, forward);
    }
  }
  return waitChild(child.pid) ?? 255;
}
