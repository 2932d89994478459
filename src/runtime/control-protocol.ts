import { Cursor } from "../bytes/cursor.ts";

/** Numbers at which the player expects what it is handed (docs/formats/launch-program.md). */
export const PLAYER_FDS = { program: 3, player: 4, control: 5, start: 6, firstDescriptor: 7 } as const;

/** No packet in either direction is larger. */
export const MAX_PACKET = 1024;

/** The operation's index is undefined if the program itself was refused. */
export type Trouble = {
  readonly operation: number | undefined;
  /** Positive, as in errno.h. */
  readonly errno: number;
  readonly text: string;
};

/** What the player says. */
export type Report =
  | { readonly kind: "ready" }
  | ({ readonly kind: "error" } & Trouble)
  | ({ readonly kind: "warning" } & Trouble)
  | { readonly kind: "waiting"; readonly operation: number }
  | { readonly kind: "pid"; readonly pid: number }
  /** The descriptor comes with the packet. */
  | { readonly kind: "seccomp-listener" };

/** What the player is told: the answer to "waiting", the answer to "ready", the first word of a start connection. */
const COMMANDS = { continue: 16, keep: 17, go: 18 } as const;

const NO_OPERATION = 0xffffffff;

const DESCRIPTOR = 19;

/** Goes with a descriptor that takes this index's place; any number of them, after "waiting" and before "continue". */
export function encodeDescriptor(index: number): Uint8Array {
  const packet = Buffer.alloc(8);
  packet.writeUInt32LE(DESCRIPTOR, 0);
  packet.writeUInt32LE(index, 4);
  return packet;
}

export function encodeCommand(command: keyof typeof COMMANDS): Uint8Array {
  const packet = Buffer.alloc(4);
  packet.writeUInt32LE(COMMANDS[command]);
  return packet;
}

/** @throws AtomfsError "bad-data" */
export function decodeReport(packet: Uint8Array): Report {
  const input = new Cursor(packet, "report of the player");
  const type = input.u32("type");
  switch (type) {
    case 1:
      return { kind: "ready" };
    case 2:
      return { kind: "error", ...readTrouble(input) };
    case 3:
      return { kind: "warning", ...readTrouble(input) };
    case 4:
      return { kind: "waiting", operation: input.u32("operation") };
    case 5:
      return { kind: "pid", pid: input.u32("pid") };
    case 6:
      return { kind: "seccomp-listener" };
    default:
      throw input.bad(`unknown type ${type}`);
  }
}

function readTrouble(input: Cursor): Trouble {
  const operation = input.u32("operation");
  const errno = input.u32("errno");
  const text = Buffer.from(input.bytes(input.remaining, "text")).toString("utf8");
  return { operation: operation === NO_OPERATION ? undefined : operation, errno, text };
}
