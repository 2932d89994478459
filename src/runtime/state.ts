import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import type { HookConfig } from "../formats/oci/runtime-config/types.ts";
import { lockDirectory } from "../sys/directory-lock.ts";
import { Fd } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";
import { readStat } from "../sys/pid.ts";

/**
 * What is known of a container between two calls of crio-lxc: `<root>/<id>/`. It lives in /run and ends with the boot, so
 * nothing here is synced; every file is replaced by rename, so that a reader sees the old one or the new one.
 */

/** How long a call waits for another one on the same container. */
const LOCK_TIMEOUT_MS = 60_000;
const FORMAT = 1;
/** The name of the player's memory file, as /proc/PID/exe shows it. */
export const PLAYER_NAME = "crio-lxc-player";

export type ProcessName = { readonly pid: number; readonly startTime: number };

export type ContainerRecord = {
  readonly id: string;
  /** What this container has on the machine is written here before it is made: whoever finds the record can remove it. */
  readonly cgroups: readonly string[];
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339. */
  readonly created: string;
  readonly owner: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly cgroupManager: "cgroupfs" | "systemd";
  /** The scope that is around the control groups with the systemd driver. */
  readonly systemdUnit?: string | undefined;
  /** `exec` leaves the caller's session keyring to its process, as `create` was told to. Absent: no. */
  readonly noNewKeyring?: boolean;
  /** Below the root of every hierarchy. */
  readonly cgroupPath: string;
  /** False: there is nothing to start. */
  readonly hasProcess: boolean;
  readonly hooks: { readonly poststart: readonly HookConfig[]; readonly poststop: readonly HookConfig[] };
  /** Of config.json. */
  readonly ociVersion: string;
  /** Undefined while `create` is at work, and for ever if it was killed. */
  readonly init: ProcessName | undefined;
  /** Said by `start`; a container whose init is no longer the player has started even if `start` was killed. */
  readonly started: boolean;
};

export type Status = "creating" | "created" | "running" | "paused" | "stopped";

/** The directory of one container, locked by this process until disposed. */
export type Held = Disposable & { readonly directory: string };

/** Files in a container's directory. */
export const FILES = {
  record: "state.json",
  config: "config.json",
  startSocket: "start.sock",
  lxcConfig: "lxc.conf",
  lxcLog: "lxc.log",
  lxcPath: "lxc",
  /** Where liblxc mounts the root on its way, in its own mount namespace. */
  /** With a number: a filesystem on its way into the container. */
  hostMount: "filesystem-",
} as const;

export function containerDirectory(root: string, id: string): string {
  return join(root, id);
}

/**
 * Makes the container's directory and holds it.
 * @throws AtomfsError "failed": "container with id exists: ID"
 */
export function createDirectory(root: string, id: string): Held {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const directory = containerDirectory(root, id);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (hasCode(error, "EEXIST")) throw new AtomfsError("failed", `container with id exists: ${id}`);
    throw error;
  }
  return holdDirectory(root, id);
}

/** @throws AtomfsError "not-found" if there is no such container, "stale" if another call does not end */
export function holdDirectory(root: string, id: string, timeoutMs: number = LOCK_TIMEOUT_MS): Held {
  const directory = containerDirectory(root, id);
  const lock = lockDirectory(directory, timeoutMs);
  if (lock instanceof Fd) return { directory, [Symbol.dispose]: () => lock[Symbol.dispose]() };
  if (lock === "absent") throw doesNotExist(id);
  throw new AtomfsError("stale", `container ${id} is busy: another call on it does not end`);
}

export function doesNotExist(id: string): AtomfsError {
  return new AtomfsError("not-found", `container ${JSON.stringify(id)} does not exist`);
}

/** Removes what is left of a container: the name goes first, so that a crash leaves nothing that looks like one. */
export function removeDirectory(held: Held, root: string, id: string): void {
  const trash = join(root, `${trashPrefix(id)}${process.pid}`);
  rmSync(trash, { recursive: true, force: true });
  renameSync(held.directory, trash);
  rmSync(trash, { recursive: true, force: true });
}

/** Finishes removals of this id that were killed. */
export function sweepTrash(root: string, id: string): void {
  for (const name of entries(root)) {
    const prefix = trashPrefix(id);
    if (!name.startsWith(prefix) || !/^[0-9]+$/.test(name.slice(prefix.length))) continue;
    rmSync(join(root, name), { recursive: true, force: true });
  }
}

/** Not a valid id. */
function trashPrefix(id: string): string {
  return `.del-${id}@`;
}

/** Ids that have a directory, sorted. */
export function listIds(root: string): string[] {
  return entries(root)
    .filter((name) => !name.startsWith(".del-"))
    .sort();
}

function entries(root: string): string[] {
  try {
    return readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}

export function writeRecord(held: Held, record: ContainerRecord): void {
  replaceFile(
    join(held.directory, FILES.record),
    `${JSON.stringify({ format: FORMAT, ...record })}\n`,
    0o600,
  );
}

/**
 * Puts a whole file in place by rename, in the mode of the umask, without any sync: what is in /run, or read only by
 * processes of this boot.
 */
export function replaceFile(path: string, content: string | Uint8Array, mode = 0o666): void {
  const slash = path.lastIndexOf("/");
  const temporary = `${path.slice(0, slash + 1)}.${path.slice(slash + 1)}.${process.pid}`;
  try {
    writeFileSync(temporary, content, { mode, flag: "wx" });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Undefined if `create` was ended before it wrote one.
 * @throws AtomfsError "not-found" if there is no such container, "bad-data" for a record of another program's making
 */
export function readRecord(root: string, id: string): ContainerRecord | undefined {
  const path = join(containerDirectory(root, id), FILES.record);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ENOTDIR")) throw error;
    if (!entries(root).includes(id)) throw doesNotExist(id);
    return undefined;
  }
  return parseRecord(text, path);
}

function parseRecord(text: string, path: string): ContainerRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AtomfsError("bad-data", `${path} is no JSON`, { cause: error });
  }
  if (!isRecord(value))
    throw new AtomfsError("bad-data", `${path} is no record of a container in format ${FORMAT}`);
  return value;
}

/** The file is root's alone and written by `writeRecord`; what matters is which version of it wrote it. */
function isRecord(value: unknown): value is ContainerRecord {
  if (typeof value !== "object" || value === null) return false;
  const { format, id, cgroups, init } = value as Readonly<Record<string, unknown>>;
  return (
    format === FORMAT &&
    typeof id === "string" &&
    Array.isArray(cgroups) &&
    cgroups.every((path) => typeof path === "string" && path.startsWith("/")) &&
    (init === undefined || isProcessName(init))
  );
}

function isProcessName(value: unknown): value is ProcessName {
  if (typeof value !== "object" || value === null) return false;
  const { pid, startTime } = value as Readonly<Record<string, unknown>>;
  return Number.isSafeInteger(pid) && Number.isSafeInteger(startTime);
}

/** @param isFrozen asked only of a process that is there */
export function statusOf(record: ContainerRecord, isFrozen: () => boolean): Status {
  if (record.init === undefined) return "creating";
  const stat = readStat(record.init.pid);
  // Another start time is another process with the same number.
  if (stat === undefined || stat.startTime !== record.init.startTime) return "stopped";
  if (stat.state === "Z" || stat.state === "X") return "stopped";
  // Before "created": what is frozen does not hear a `start`, which would wait for it and keep `resume` out.
  if (isFrozen()) return "paused";
  return !record.started && isPlayer(record.init.pid) ? "created" : "running";
}

function isPlayer(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`).startsWith(`/memfd:${PLAYER_NAME}`);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return false;
    throw error;
  }
}

/** The name under which this process will be known for good. Undefined if it has gone. */
export function nameProcess(pid: number): ProcessName | undefined {
  const stat = readStat(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime };
}
