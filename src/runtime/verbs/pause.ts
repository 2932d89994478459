import { AtomfsError } from "../../core/errors.ts";
import { freezeCgroups, thawCgroups } from "../cgroups.ts";
import { currentStatus } from "../oci-state.ts";
import type { Session } from "../session.ts";
import { holdDirectory } from "../state.ts";
import { existing } from "./state.ts";

/** `pause ID` */
export function pauseContainer(session: Session, id: string): number {
  using _ = holdDirectory(session.global.root, id);
  const record = existing(session, id);
  const status = currentStatus(record);
  if (status !== "running" && status !== "created") {
    throw new AtomfsError("failed", `cannot pause container ${id}: container not running (${status})`);
  }
  freezeCgroups(record.cgroups);
  return 0;
}

/** `resume ID` */
export function resumeContainer(session: Session, id: string): number {
  using _ = holdDirectory(session.global.root, id);
  const record = existing(session, id);
  const status = currentStatus(record);
  if (status !== "paused") {
    throw new AtomfsError("failed", `cannot resume container ${id}: container not paused (${status})`);
  }
  thawCgroups(record.cgroups);
  return 0;
}
