import { fromText } from "../../src/core/bytestring.ts";
import type { Action, Operation } from "../../src/runtime/operations.ts";

/** Actions that many programs in the player's tests have. */

export const RDONLY = 1;
export const NOEXEC = 8;
const NOSUID_NODEV = 6;
const NOSUID = 2;
export const PATH: ReturnType<typeof fromText> = fromText("PATH=/usr/sbin:/usr/bin:/sbin:/bin");

export const t: typeof fromText = fromText;
export const START: Action = { kind: "await-start" };

export function mountOf(type: string, path: string, options: Record<string, string> = {}): Action {
  return {
    kind: "mount-filesystem",
    type: t(type),
    source: t(type),
    options: Object.entries(options).map(([key, value]) => [t(key), t(value)] as const),
    attributes: type === "devpts" || path === "/dev" ? NOSUID : NOSUID_NODEV,
    path: t(path),
    copyUp: false,
  };
}

export const PROC: Action = mountOf("proc", "/proc");
export const DEV: readonly Action[] = [
  mountOf("tmpfs", "/dev", { mode: "755" }),
  node("/dev/null", 3),
  mountOf("devpts", "/dev/pts", { newinstance: "", ptmxmode: "0666", mode: "0620" }),
];

export function node(path: string, minor: number): Action {
  return {
    kind: "make-node",
    path: t(path),
    type: "char",
    mode: 0o666,
    major: 1,
    minor,
    uid: 0,
    gid: 0,
  };
}

export function execute(...args: readonly string[]): Action {
  return { kind: "execute", args: args.map(t), env: [PATH], descriptors: [] };
}

export function shell(script: string): Action {
  return execute("sh", "-c", script);
}

export function absentOk(does: Action): Operation {
  return { does, onError: "ignore-absent" };
}
