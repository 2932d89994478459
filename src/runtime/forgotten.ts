import { existsSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { currentStatus } from "./oci-state.ts";
import { type ContainerRecord, holdDirectory, listIds, readRecord } from "./state.ts";
import { destroy } from "./verbs/delete.ts";

export type SweepOptions = {
  readonly dryRun: boolean;
  readonly warn: (message: string) => void;
};

/**
 * Deletes containers that nobody will delete: none of their processes runs, and their bundle is gone. An engine that is killed while
 * it makes one has forgotten it when it starts again.
 * @param root crio-lxc's state directory
 * @returns their ids
 */
export async function sweepForgotten(root: string, { dryRun, warn }: SweepOptions): Promise<string[]> {
  const swept: string[] = [];
  for (const id of listIds(root)) {
    if (!isForgotten(recordOf(root, id))) continue;
    if (!dryRun && !(await deleted(root, id, warn))) continue;
    swept.push(id);
  }
  return swept;
}

function isForgotten(record: ContainerRecord | undefined): boolean {
  if (record === undefined || existsSync(record.bundle)) return false;
  const status = currentStatus(record);
  return status === "stopped" || status === "creating";
}

/** One that another call makes or deletes just now is that call's. */
async function deleted(root: string, id: string, warn: (message: string) => void): Promise<boolean> {
  try {
    using held = holdDirectory(root, id, 0);
    const record = recordOf(root, id);
    if (!isForgotten(record)) return false;
    await destroy({ global: { root }, warn }, held, id, record);
    return true;
  } catch (error) {
    if (error instanceof AtomfsError && ["stale", "not-found"].includes(error.kind)) return false;
    throw error;
  }
}

/** Undefined also for what another version of crio-lxc wrote. */
function recordOf(root: string, id: string): ContainerRecord | undefined {
  try {
    return readRecord(root, id);
  } catch (error) {
    if (error instanceof AtomfsError) return undefined;
    throw error;
  }
}
