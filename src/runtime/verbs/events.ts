import { setTimeout as sleep } from "node:timers/promises";
import { AtomfsError } from "../../core/errors.ts";
import { readStatistics } from "../cgroup-statistics.ts";
import { currentStatus } from "../oci-state.ts";
import type { Session } from "../session.ts";
import { existing } from "./state.ts";

/** `events ID`: statistics once, or again and again until the container has stopped. */
export async function printEvents(
  session: Session,
  options: { readonly id: string; readonly once: boolean; readonly intervalMs: number },
): Promise<number> {
  const { id, once, intervalMs } = options;
  for (let first = true; ; first = false) {
    const record = existing(session, id);
    if (currentStatus(record) === "stopped") {
      if (!first) return 0;
      throw new AtomfsError("failed", `container not running: ${id}`);
    }
    session.print(JSON.stringify({ type: "stats", id, data: readStatistics(record.cgroups) }));
    if (once) return 0;
    await sleep(intervalMs);
  }
}
