import { Cursor } from "../bytes/cursor.ts";
import { fromText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import type { Action, Capabilities, LaunchProgram, MountAttributes, Operation } from "./operations.ts";
import {
  bool,
  bytes,
  descriptor,
  descriptors,
  type FieldCodec,
  i32,
  numbers,
  oneOf,
  optional,
  pairs,
  type RecordFields,
  record,
  text,
  texts,
  u32,
  u64,
} from "./program-fields.ts";

const MAGIC = fromText("ATOMFSLP");
const VERSION = 1;
const HEADER_SIZE = 24;
const ERROR_POLICIES: readonly Operation["onError"][] = ["fail", "ignore-absent", "warn"];
const LIMITS = { bytes: 16 * 1024 * 1024, operations: 65_536, descriptors: 512 } as const;

type Kind = Action["kind"];
type ActionOf<K extends Kind> = Extract<Action, { readonly kind: K }>;
type FieldsOf<K extends Kind> = Omit<ActionOf<K>, "kind">;
type Layout<K extends Kind> = { readonly code: number; readonly fields: FieldCodec<FieldsOf<K>> };

function layout<K extends Kind>(code: number, fields: RecordFields<FieldsOf<K>>): Layout<K> {
  return { code, fields: record(fields) };
}

const capabilities = record<Capabilities>({
  bounding: u64,
  effective: u64,
  permitted: u64,
  inheritable: u64,
  ambient: u64,
});
const noCapabilities: Capabilities = {
  bounding: 0n,
  effective: 0n,
  permitted: 0n,
  inheritable: 0n,
  ambient: 0n,
};

/** Code and fields of every operation, in the order in which they are written. docs/formats/launch-program.md */
const LAYOUTS: { readonly [K in Kind]: Layout<K> } = {
  "make-directory": layout(1, { path: text, mode: u32 }),
  "attach-mount": layout(2, {
    mount: descriptor,
    path: text,
    create: oneOf("none", "dir", "file", "as-mount"),
  }),
  "mount-filesystem": layout(3, {
    type: text,
    source: text,
    options: pairs,
    attributes: u32,
    path: text,
    copyUp: bool,
    keepMode: bool,
  }),
  "set-mount-attributes": layout(4, {
    path: text,
    attributes: record<MountAttributes>({ set: u32, clear: u32, recursive: bool }),
  }),
  "set-propagation": layout(5, {
    path: text,
    propagation: oneOf("private", "shared", "slave", "unbindable"),
    recursive: bool,
  }),
  "make-node": layout(6, {
    path: text,
    type: oneOf("char", "block", "fifo"),
    mode: u32,
    major: u32,
    minor: u32,
    uid: u32,
    gid: u32,
  }),
  "make-symlink": layout(7, { path: text, target: text }),
  "mask-path": layout(8, { path: text }),
  "make-path-readonly": layout(9, { path: text }),
  "write-sysctl": layout(10, { key: text, value: text }),
  "set-hostname": layout(11, { name: text }),
  "set-domainname": layout(12, { name: text }),
  "open-console": layout(13, { socket: descriptor, rows: u32, columns: u32, bindConsole: bool }),
  "make-root-readonly": layout(14, {}),
  "set-oom-score": layout(15, { value: i32 }),
  "set-session-keyring": layout(16, { name: text, searchable: bool }),
  "await-start": layout(17, {}),
  "run-hook": layout(18, { path: text, args: texts, env: texts, state: bytes, timeoutMs: u32, name: text }),
  "set-rlimit": layout(19, { resource: u32, soft: u64, hard: u64 }),
  "set-umask": layout(20, { mask: u32 }),
  "set-personality": layout(21, { value: u32 }),
  "set-groups": layout(22, { groups: numbers }),
  "set-identity": layout(23, { uid: u32, gid: u32, capabilities: optional(capabilities, noCapabilities) }),
  "change-directory": layout(24, { path: text, create: bool }),
  "set-no-new-privileges": layout(25, {}),
  "load-seccomp": layout(26, { filter: bytes, flags: u32 }),
  "set-exec-label": layout(27, { lsm: oneOf("apparmor", "selinux"), label: text }),
  execute: layout(28, { args: texts, env: texts, descriptors }),
  "await-launcher": layout(29, {}),
  "join-namespaces": layout(30, { pidfd: descriptor, namespaces: u32 }),
  "enter-namespace": layout(32, { namespace: descriptor, type: u32 }),
  "enter-runtime-tree": layout(33, { tree: descriptor, container: text }),
  "leave-runtime-tree": layout(34, {}),
  "find-executable": layout(31, {
    name: text,
    searchPath: text,
    uid: u32,
    gid: u32,
    effective: u64,
    groups: numbers,
  }),
};

const KIND_OF_CODE: ReadonlyMap<number, Kind> = new Map(
  Object.entries(LAYOUTS).map(([kind, { code }]) => [code, kind as Kind]),
);

/** Each operation's code and the letters of its fields, for comparison with the player's own table. */
export function operationLetters(): ReadonlyMap<number, string> {
  return new Map(Object.values(LAYOUTS).map(({ code, fields }) => [code, fields.letters]));
}

/**
 * The bytes that the player reads. The number of descriptors in the header is one more than the highest that is used.
 * @throws AtomfsError "unsupported" for a program beyond the format's limits; RangeError for a value that its field cannot hold
 */
export function encodeProgram(program: LaunchProgram): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (const operation of program.operations) encodeOperation(chunks, operation);
  const count = descriptorCount(program);
  const size = chunks.reduce((sum, chunk) => sum + chunk.length, HEADER_SIZE);
  const over = [
    size > LIMITS.bytes && `${size} bytes`,
    program.operations.length > LIMITS.operations && `${program.operations.length} operations`,
    count > LIMITS.descriptors && `${count} descriptors`,
  ].filter((part) => part !== false);
  if (over.length > 0)
    throw new AtomfsError("unsupported", `The container needs ${over.join(", ")} to start`);
  const header = Buffer.alloc(HEADER_SIZE);
  header.write(MAGIC, 0, "latin1");
  for (const [i, value] of [VERSION, size, program.operations.length, count].entries()) {
    header.writeUInt32LE(value, 8 + 4 * i);
  }
  return Buffer.concat([header, ...chunks], size);
}

function encodeOperation(chunks: Uint8Array[], { does, onError }: Operation): void {
  const { code, fields } = LAYOUTS[does.kind] as Layout<Kind>;
  const header = Buffer.alloc(8);
  const start = chunks.push(header);
  fields.write(chunks, does);
  header.writeUInt16LE(code, 0);
  header.writeUInt8(ERROR_POLICIES.indexOf(onError), 2);
  header.writeUInt32LE(
    chunks.slice(start).reduce((sum, chunk) => sum + chunk.length, 0),
    4,
  );
}

function descriptorsOf(action: Action): readonly number[] {
  switch (action.kind) {
    case "attach-mount":
      return [action.mount];
    case "open-console":
      return [action.socket];
    case "join-namespaces":
      return [action.pidfd];
    case "enter-namespace":
      return [action.namespace];
    case "enter-runtime-tree":
      return [action.tree];
    case "execute":
      return action.descriptors;
    default:
      return [];
  }
}

function descriptorCount(program: LaunchProgram): number {
  return program.operations
    .flatMap(({ does }) => descriptorsOf(does))
    .reduce((count, index) => Math.max(count, index + 1), 0);
}

/** The program of these bytes, exactly as the player reads them. @throws AtomfsError "bad-data" */
export function decodeProgram(encoded: Uint8Array): LaunchProgram {
  const input = new Cursor(encoded, "launch program");
  if (input.byteString(8, "magic") !== MAGIC) throw input.bad("this is no launch program");
  const version = input.u32("version");
  if (version !== VERSION) throw input.bad(`version ${version}`);
  const size = input.u32("size");
  if (size !== encoded.length || size > LIMITS.bytes) throw input.bad(`size ${size}`);
  const operationCount = input.u32("number of operations");
  const count = input.u32("number of descriptors");
  if (operationCount > LIMITS.operations || count > LIMITS.descriptors) {
    throw input.bad("too many operations or descriptors");
  }
  const operations: Operation[] = [];
  for (let i = 0; i < operationCount; i++) operations.push(decodeOperation(input, count));
  if (input.remaining > 0) throw input.bad("bytes after the last operation");
  return { operations };
}

function decodeOperation(input: Cursor, descriptorsGiven: number): Operation {
  const code = input.u16("code");
  const kind = KIND_OF_CODE.get(code);
  if (kind === undefined) throw input.bad(`unknown operation ${code}`);
  const policy = input.u8("error policy");
  const onError = ERROR_POLICIES[policy];
  if (onError === undefined || input.u8("reserved") !== 0) throw input.bad(`error policy ${policy}`);
  const body = new Cursor(input.bytes(input.u32("length"), kind), `launch program, ${kind}`);
  const fields = LAYOUTS[kind].fields.read(body, kind);
  if (body.remaining > 0) throw body.bad("bytes after its last field");
  const does = { kind, ...fields } as Action;
  if (descriptorsOf(does).some((index) => index >= descriptorsGiven)) {
    throw body.bad("a descriptor that is not handed over");
  }
  return { does, onError };
}
