import fc from "fast-check";
import { type ByteString, fromBytes } from "../../src/core/bytestring.ts";
import type { Action, LaunchProgram } from "../../src/runtime/operations.ts";

const text: fc.Arbitrary<ByteString> = fc
  .array(fc.integer({ min: 1, max: 255 }), { maxLength: 40 })
  .map((bytes) => fromBytes(Uint8Array.from(bytes)));
const texts = fc.array(text, { maxLength: 4 });
const bytes = fc.uint8Array({ maxLength: 64 });
const u32 = fc.nat(0xffffffff);
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const bool = fc.boolean();
const index = fc.nat(511);

function action<K extends Action["kind"]>(
  kind: K,
  fields: {
    readonly [F in Exclude<keyof Extract<Action, { kind: K }>, "kind">]: fc.Arbitrary<
      Extract<Action, { kind: K }>[F]
    >;
  },
): fc.Arbitrary<Action> {
  const record = fc.record(fields as unknown as Record<string, fc.Arbitrary<unknown>>);
  return record.map((values) => ({ ...values, kind }) as unknown as Action);
}

const capabilities = fc.record({
  bounding: u64,
  effective: u64,
  permitted: u64,
  inheritable: u64,
  ambient: u64,
});

/** At least one of each kind is likely in a hundred programs. */
const actions: fc.Arbitrary<Action> = fc.oneof(
  action("make-directory", { path: text, mode: u32 }),
  action("attach-mount", {
    mount: index,
    path: text,
    create: fc.constantFrom("dir", "file", "none", "as-mount"),
  }),
  action("mount-filesystem", {
    type: text,
    source: text,
    options: fc.array(fc.tuple(text, text), { maxLength: 3 }),
    attributes: u32,
    path: text,
    copyUp: bool,
    keepMode: bool,
  }),
  action("set-mount-attributes", {
    path: text,
    attributes: fc.record({ set: u32, clear: u32, recursive: bool }),
  }),
  action("set-propagation", {
    path: text,
    propagation: fc.constantFrom("private", "shared", "slave", "unbindable"),
    recursive: bool,
  }),
  action("make-node", {
    path: text,
    type: fc.constantFrom("char", "block", "fifo"),
    mode: u32,
    major: u32,
    minor: u32,
    uid: u32,
    gid: u32,
  }),
  action("make-symlink", { path: text, target: text }),
  action("mask-path", { path: text }),
  action("make-path-readonly", { path: text }),
  action("write-sysctl", { key: text, value: text }),
  action("set-hostname", { name: text }),
  action("set-domainname", { name: text }),
  action("open-console", { socket: index, rows: u32, columns: u32, bindConsole: bool }),
  action("make-root-readonly", {}),
  action("set-oom-score", { value: fc.integer({ min: -1000, max: 1000 }) }),
  action("set-session-keyring", { name: text, searchable: fc.boolean() }),
  action("await-start", {}),
  action("run-hook", { path: text, args: texts, env: texts, state: bytes, timeoutMs: u32, name: text }),
  action("set-rlimit", { resource: u32, soft: u64, hard: u64 }),
  action("set-umask", { mask: u32 }),
  action("set-personality", { value: u32 }),
  action("set-groups", { groups: fc.array(u32, { maxLength: 5 }) }),
  action("set-identity", { uid: u32, gid: u32, capabilities: fc.option(capabilities, { nil: undefined }) }),
  action("change-directory", { path: text, create: bool }),
  action("set-no-new-privileges", {}),
  action("load-seccomp", { filter: bytes, flags: u32 }),
  action("set-exec-label", { lsm: fc.constantFrom("apparmor", "selinux"), label: text }),
  action("execute", { args: texts, env: texts, descriptors: fc.array(index, { maxLength: 3 }) }),
  action("await-launcher", {}),
  action("join-namespaces", { pidfd: index, namespaces: u32 }),
  action("enter-namespace", { namespace: index, type: u32 }),
  action("enter-runtime-tree", { tree: index, container: text }),
  action("leave-runtime-tree", {}),
  action("find-executable", {
    name: text,
    searchPath: text,
    uid: u32,
    gid: u32,
    effective: u64,
    groups: fc.array(u32, { maxLength: 5 }),
  }),
);

export const launchPrograms: fc.Arbitrary<LaunchProgram> = fc.record({
  operations: fc.array(
    fc.record({ does: actions, onError: fc.constantFrom("fail", "ignore-absent", "warn") }),
    { maxLength: 20 },
  ),
});
