import { constants, openSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { Fd } from "../sys/fd.ts";
import { sealedCopy, sealedMemfd } from "../sys/memfd.ts";
import { waitChild } from "../sys/pid.ts";
import { receiveMessage, sendMessage, socketPair } from "../sys/socket.ts";
import { decodeReport, encodeCommand, MAX_PACKET, PLAYER_FDS, type Trouble } from "./control-protocol.ts";
import { nameProcess, PLAYER_NAME, type ProcessName } from "./state.ts";

export type ExecRequest = {
  readonly program: Uint8Array;
  /** Path of its executable. */
  readonly player: string;
  readonly descriptors: readonly Fd[];
  /** The player is there and in no namespace yet. */
  readonly onWaiting: (pid: number) => void;
  readonly onWarning: (trouble: Trouble) => void;
};

/**
 * Plays a program that joins a container, up to the moment when the container's program is executed.
 * @returns the process, a child of this one
 * @throws AtomfsError with what the player says
 */
export async function playInContainer(request: ExecRequest): Promise<ProcessName> {
  using parts = new DisposableStack();
  const [control, theirs] = socketPair("seqpacket");
  using _ = control;
  parts.use(theirs);
  const player = parts.use(sealedCopy(PLAYER_NAME, request.player));
  const program = parts.use(sealedMemfd("launch-program", request.program));
  // A program without await-start has no start socket.
  const nothing = parts.use(new Fd(openSync("/dev/null", constants.O_RDONLY)));
  const inherited: number[] = [];
  inherited[PLAYER_FDS.program] = program.number;
  inherited[PLAYER_FDS.player] = player.number;
  inherited[PLAYER_FDS.control] = theirs.number;
  inherited[PLAYER_FDS.start] = nothing.number;
  for (const [i, fd] of request.descriptors.entries()) inherited[PLAYER_FDS.firstDescriptor + i] = fd.number;
  const child = Bun.spawn([`/proc/self/fd/${PLAYER_FDS.player}`], {
    stdio: ["inherit", "inherit", "inherit", ...inherited.slice(3)],
    env: {},
    detached: true,
  });
  parts.dispose();
  try {
    return await untilExecuted(control, child.pid, request);
  } finally {
    // Either it has gone on as another process, or it failed.
    control[Symbol.dispose]();
    await child.exited;
  }
}

async function untilExecuted(control: Fd, first: number, request: ExecRequest): Promise<ProcessName> {
  let name: ProcessName | undefined;
  for (;;) {
    const message = receiveMessage(control, { bytes: MAX_PACKET, descriptors: 1 });
    if (message === undefined) break;
    for (const fd of message.descriptors) fd[Symbol.dispose]();
    const report = decodeReport(message.bytes);
    if (report.kind === "error") {
      // An ended process that nobody waits for would keep the container's PID namespace from ending.
      if (name !== undefined) waitChild(name.pid);
      throw new AtomfsError("failed", report.text);
    }
    if (report.kind === "warning") request.onWarning(report);
    if (report.kind === "pid") name = nameProcess(report.pid);
    if (report.kind !== "waiting") continue;
    request.onWaiting(first);
    sendMessage(control, encodeCommand("continue"));
  }
  if (name === undefined) throw new AtomfsError("failed", "The player ended before it was in the container");
  return name;
}
