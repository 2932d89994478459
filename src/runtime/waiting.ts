import { constants } from "node:os";
import { setImmediate as turn } from "node:timers/promises";
import type { Fd } from "../sys/fd.ts";
import { openProcess, signalProcess, waitChild, waitEnded } from "../sys/pid.ts";
import type { ForegroundConsole } from "./foreground-console.ts";
import type { ProcessName } from "./state.ts";

/**
 * Signals that somebody sends to a waiting crio-lxc are meant for the container: all but those that tell crio-lxc itself something
 * (of its children, its terminal, a closed pipe, a fault of its own) and those that Bun cannot hand out, SIGPWR and SIGSTKFLT and the
 * real-time ones.
 */
const FORWARDED = [
  ...(["SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGTERM"] as const),
  ...(["SIGCONT", "SIGTSTP", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGSYS"] as const),
];
/** The end is seen at once; a signal may wait this long. Signals that come soon are of a person who is waiting. */
const TURN_MS = { first: 5, later: 50 } as const;
const FIRST_TURNS = 200;

/** From its making on no signal is lost: those that come before there is a process are kept for it, later ones find nobody. */
export class ForwardedSignals implements Disposable {
  readonly #kept: NodeJS.Signals[] = [];
  #process: Fd | "awaited" | "ended" = "awaited";
  readonly #forward = (name: NodeJS.Signals): void => {
    if (this.#process === "awaited") this.#kept.push(name);
    else if (this.#process !== "ended") signalProcess(this.#process, constants.signals[name]);
  };

  constructor() {
    for (const name of FORWARDED) process.on(name, this.#forward);
  }

  /** @returns to be disposed of before the descriptor is closed */
  sendTo(pidfd: Fd): Disposable {
    this.#process = pidfd;
    for (const name of this.#kept.splice(0)) this.#forward(name);
    return {
      [Symbol.dispose]: () => {
        this.#process = "ended";
      },
    };
  }

  [Symbol.dispose](): void {
    for (const name of FORWARDED) process.off(name, this.#forward);
  }
}

/**
 * Waits for a child that this process adopted as its subreaper, and passes signals on to it.
 * @param console keys and output are passed on, too
 * @returns its exit code, 128 + signal if a signal ended it; 255 if somebody else has reaped it
 */
export async function waitForAdopted(
  child: ProcessName,
  signals: ForwardedSignals,
  console?: ForegroundConsole,
): Promise<number> {
  using pidfd = openProcess(child.pid, child.startTime);
  if (pidfd !== undefined) {
    using _sending = signals.sendTo(pidfd);
    const ended = (ms: number): boolean =>
      console === undefined ? waitEnded(pidfd, ms) : console.relay(pidfd, ms);
    for (let n = 0; !ended(n < FIRST_TURNS ? TURN_MS.first : TURN_MS.later); n++) await turn();
  }
  console?.passRest();
  return waitChild(child.pid) ?? 255;
}
