import { AtomfsError } from "../../core/errors.ts";
import { openProcess, signalProcess } from "../../sys/pid.ts";
import { signalCgroups, thawCgroups } from "../cgroups.ts";
import { currentStatus } from "../oci-state.ts";
import type { Session } from "../session.ts";
import { existing } from "./state.ts";

const SIGKILL = 9;

/**
 * `kill [--all] ID SIGNAL`. Needs no lock: the pidfd names the process, and a `start` that hangs must be killable.
 * @throws AtomfsError "failed": "container not running"
 */
export function killContainer(
  session: Session,
  options: { readonly id: string; readonly signal: number; readonly all: boolean },
): number {
  const record = existing(session, options.id);
  if (options.all && record.cgroups.length > 0) {
    // Also when init has ended: what it left behind is meant.
    signalCgroups(record.cgroups, options.signal);
    return 0;
  }
  const { init } = record;
  using pidfd = init === undefined ? undefined : openProcess(init.pid, init.startTime);
  const paused = pidfd !== undefined && currentStatus(record) === "paused";
  if (pidfd === undefined || !signalProcess(pidfd, options.signal)) {
    if (options.all) return 0;
    throw new AtomfsError("failed", `container not running: ${options.id}`);
  }
  // With the old freezer a signal waits for the thaw.
  if (paused && options.signal === SIGKILL) thawCgroups(record.cgroups);
  return 0;
}
