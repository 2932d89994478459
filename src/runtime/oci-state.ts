import { isFrozen } from "./cgroups.ts";
import { type ContainerRecord, type Status, statusOf } from "./state.ts";

/** What the runtime specification calls the state of a container; hooks get it on stdin. */
export type OciState = {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: Status;
  readonly pid: number;
  readonly bundle: string;
  readonly annotations: Readonly<Record<string, string>>;
};

export function currentStatus(record: ContainerRecord): Status {
  return statusOf(record, () => isFrozen(record.cgroups));
}

export function ociState(record: ContainerRecord, status: Status): OciState {
  return {
    ociVersion: record.ociVersion,
    id: record.id,
    status,
    // The number may be another process's by now.
    pid: status === "stopped" ? 0 : (record.init?.pid ?? 0),
    bundle: record.bundle,
    annotations: record.annotations,
  };
}

/** With what runc adds, as `state` and `list` print it. */
export function printedState(record: ContainerRecord, status: Status): Readonly<Record<string, unknown>> {
  const { rootfs, created, owner } = record;
  return { ...ociState(record, status), rootfs, created, owner };
}
