import { join } from "node:path";
import { AtomfsError } from "../../core/errors.ts";
import type { Fd } from "../../sys/fd.ts";
import { hasCode } from "../../sys/ffi.ts";
import { connectUnix, receiveMessage, sendMessage } from "../../sys/socket.ts";
import { decodeReport, encodeCommand, MAX_PACKET } from "../control-protocol.ts";
import { runHostHooks } from "../host-hooks.ts";
import { currentStatus, ociState } from "../oci-state.ts";
import { killAll } from "../removal.ts";
import type { Session } from "../session.ts";
import { type ContainerRecord, FILES, type Held, holdDirectory, writeRecord } from "../state.ts";
import { existing } from "./state.ts";

/** `start ID` */
export async function startContainer(session: Session, id: string): Promise<number> {
  using held = holdDirectory(session.global.root, id);
  await startHeld(session, held, existing(session, id));
  return 0;
}

/** @throws AtomfsError with what the player says if the program cannot be executed */
export async function startHeld(session: Session, held: Held, record: ContainerRecord): Promise<void> {
  const status = currentStatus(record);
  if (status === "stopped" || status === "creating") {
    throw new AtomfsError("failed", `cannot start a container that has stopped: ${record.id}`);
  }
  if (status === "paused") {
    throw new AtomfsError("failed", `cannot start a container in the paused state: ${record.id}`);
  }
  if (status !== "created") {
    throw new AtomfsError("failed", `cannot start an already running container: ${record.id}`);
  }
  if (!record.hasProcess) {
    throw new AtomfsError("failed", `cannot start a container without process: ${record.id}`);
  }
  using connection = connect(held, record.id);
  sendMessage(connection, encodeCommand("go"));
  listen(session, connection);
  const started = { ...record, started: true };
  writeRecord(held, started);
  try {
    await runHostHooks("poststart", record.hooks.poststart, ociState(started, "running"));
  } catch (error) {
    // runtime-spec 1.3: a container whose poststart hook fails must not go on.
    killAll(held, started);
    throw error;
  }
}

function connect(held: Held, id: string): Fd {
  try {
    return connectUnix(join(held.directory, FILES.startSocket), "seqpacket");
  } catch (error) {
    if (!hasCode(error, "ECONNREFUSED", "ENOENT")) throw error;
    throw new AtomfsError("failed", `cannot start a container that has run: ${id}`, { cause: error });
  }
}

/** The connection ends when the program is executed. */
function listen(session: Session, connection: Fd): void {
  for (;;) {
    const message = receiveMessage(connection, { bytes: MAX_PACKET, descriptors: 1 });
    if (message === undefined) return;
    for (const fd of message.descriptors) fd[Symbol.dispose]();
    const report = decodeReport(message.bytes);
    if (report.kind === "error") throw new AtomfsError("failed", report.text);
    if (report.kind === "warning") session.warn(report.text);
  }
}
