import { setTimeout as sleep } from "node:timers/promises";
import { AtomfsError } from "../../core/errors.ts";
import { countOutOfMemory, readStatistics } from "../cgroup-statistics.ts";
import { currentStatus } from "../oci-state.ts";
import type { Session } from "../session.ts";
import { readRecord } from "../state.ts";
import { existing } from "./state.ts";

/** How often the counter of memory kills is looked at. */
const LOOK_MS = 100;

/**
 * `events ID`: statistics once, or at each interval until the container has stopped, and meanwhile a line for each process that
 * the kernel ended because the container's memory was full.
 */
export async function printEvents(
  session: Session,
  options: { readonly id: string; readonly once: boolean; readonly intervalMs: number },
): Promise<number> {
  const { id, once, intervalMs } = options;
  const record = existing(session, id);
  const { cgroups } = record;
  if (currentStatus(record) === "stopped") {
    throw new AtomfsError("failed", `container with id ${id} is not running: container not running`);
  }
  const print = (event: object): void => session.print(jsonText(event));
  const printStatistics = (): void => print({ type: "stats", id, data: readStatistics(cgroups) });
  if (once) {
    printStatistics();
    return 0;
  }
  let seen = countOutOfMemory(cgroups);
  let next = performance.now() + intervalMs;
  for (let running = true; running; ) {
    // Looked at before the counter: what ended the container is still told.
    running = isRunning(session, id);
    const count = countOutOfMemory(cgroups);
    for (; seen < count; seen++) print({ type: "oom", id });
    if (running && performance.now() >= next) {
      printStatistics();
      next += intervalMs;
    }
    if (running) await sleep(Math.min(LOOK_MS, intervalMs));
  }
  return 0;
}

function isRunning(session: Session, id: string): boolean {
  try {
    const record = readRecord(session.global.root, id);
    return record !== undefined && currentStatus(record) !== "stopped";
  } catch (error) {
    if (error instanceof AtomfsError && error.kind === "not-found") return false;
    throw error;
  }
}

/** Counters of the kernel have 64 bits. */
function jsonText(value: object): string {
  const text = JSON.stringify(value, (_, each) => (typeof each === "bigint" ? `\u0001${each}` : each));
  return text.replace(/"\\u0001([0-9]+)"/g, "$1");
}
