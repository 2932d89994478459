import { AtomfsError } from "../../core/errors.ts";
import { runHostHooks } from "../host-hooks.ts";
import { currentStatus, ociState } from "../oci-state.ts";
import { killAll, removeResources } from "../removal.ts";
import type { Session } from "../session.ts";
import {
  type ContainerRecord,
  type Held,
  holdDirectory,
  readRecord,
  removeDirectory,
  sweepTrash,
} from "../state.ts";

/** `delete [--force] ID`. With force, what is not there or only half there is no error. */
export async function deleteContainer(
  session: Session,
  options: { readonly id: string; readonly force: boolean },
): Promise<number> {
  const { id, force } = options;
  const { root } = session.global;
  try {
    using held = holdDirectory(root, id);
    const record = readRecordOrNone(session, id, force);
    if (record !== undefined && !force) refuseIfRunning(record);
    await destroy(session, held, id, record);
  } catch (error) {
    if (!(force && error instanceof AtomfsError && error.kind === "not-found")) throw error;
  }
  if (force) sweepTrash(root, id);
  return 0;
}

type Deleter = Pick<Session, "warn"> & { readonly global: Pick<Session["global"], "root"> };

/** A container whose directory this call holds: its processes, its groups, its poststop hooks, its directory. */
export async function destroy(
  session: Deleter,
  held: Held,
  id: string,
  record: ContainerRecord | undefined,
): Promise<void> {
  killAll(held, record);
  removeResources(held, record);
  if (record !== undefined) await runPoststop(session, record);
  removeDirectory(held, session.global.root, id);
}

function readRecordOrNone(session: Session, id: string, force: boolean): ContainerRecord | undefined {
  try {
    return readRecord(session.global.root, id);
  } catch (error) {
    if (!force || !(error instanceof AtomfsError) || error.kind !== "bad-data") throw error;
    session.warn(`delete --force: ${error.message}`);
    return undefined;
  }
}

/** A container that has not started has nothing to lose; one whose `create` was killed neither. */
function refuseIfRunning(record: ContainerRecord): void {
  const status = currentStatus(record);
  if (status !== "running" && status !== "paused") return;
  throw new AtomfsError("failed", `cannot delete container ${record.id} that is not stopped: ${status}`);
}

/** One that fails changes nothing (runtime-spec, "Poststop"). */
async function runPoststop(session: Deleter, record: ContainerRecord): Promise<void> {
  for (const hook of record.hooks.poststop) {
    try {
      await runHostHooks("poststop", [hook], ociState(record, "stopped"));
    } catch (error) {
      session.warn(error instanceof Error ? error.message : String(error));
    }
  }
}
