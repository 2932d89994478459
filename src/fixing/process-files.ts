import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import type { VerityDigest } from "../core/digest.ts";
import { hasCode } from "../sys/ffi.ts";
import { measureDescriptor } from "./container-root.ts";

/** A file that a process has mapped, measured through /proc/PID/map_files. */
export type MappedFile = {
  readonly pid: number;
  /** As /proc/PID/maps shows it, in the process's root. */
  readonly path: string;
  /** undefined for a file of a wanted path whose size is none of the wanted ones. */
  readonly digest: VerityDigest | undefined;
};

/**
 * Threads, one for each process, that share the mount namespace of a container's first process, or run in a cgroup of
 * its own name. A process whose first thread has ended is shown by another thread: the first one's entries are empty.
 * Without the first process, those of the cgroup.
 */
export function containerProcesses(pid: number, containerId: string): number[] {
  const namespace = linkOf(`/proc/${pid}/ns/mnt`);
  // The number may be another process's by now, one of the host.
  const isOwn = namespace !== undefined && namespace !== linkOf("/proc/self/ns/mnt");
  const shares = (thread: number): boolean => isOwn && linkOf(`/proc/${thread}/ns/mnt`) === namespace;
  const own = new RegExp(`(^|[/:-])(libpod-|crio-)?${containerId}(\\.scope)?(/|$)`, "m");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => livingThread(Number(name)) ?? [])
    .filter((thread) => {
      if (shares(thread)) return true;
      // conmon's own cgroup has the id in its name, too.
      return own.test(textOf(`/proc/${thread}/cgroup`).replace(/libpod-conmon-[^\n]*/g, ""));
    });
}

/** undefined for a process that has ended. */
function livingThread(pid: number): number | undefined {
  if (!isZombie(`/proc/${pid}/stat`)) return pid;
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map(Number);
    return threads.find((thread) => thread !== pid && !isZombie(`/proc/${pid}/task/${thread}/stat`));
  } catch (error) {
    if (hasEnded(error)) return undefined;
    throw error;
  }
}

/** The name in the second field may have spaces and parentheses; the state follows its last one (proc_pid_stat(5)). */
function isZombie(stat: string): boolean {
  const text = textOf(stat);
  return text === "" || /^[ZXx]/.test(text.slice(text.lastIndexOf(")") + 2));
}

function hasEnded(error: unknown): boolean {
  return hasCode(error, "ENOENT", "ESRCH");
}

/** Empty if the process has ended. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (hasEnded(error)) return "";
    throw error;
  }
}

/** undefined if the process has ended or may not be looked at. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    // Who may not be looked at has more rights than this program, so no container gave them.
    if (hasEnded(error) || hasCode(error, "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

const MAPS_LINE = /^([0-9a-f]+-[0-9a-f]+) \S+ \S+ (\S+) (\d+) +(\/.*)$/;

/** Which mappings are measured: a file of another size and another path can be none of those that are looked for. */
export type Wanted = { readonly sizes: ReadonlySet<number>; readonly paths: ReadonlyMap<string, unknown> };

/**
 * Every file that a process maps, executable or not, that has a wanted size or path. Each is opened through
 * /proc/PID/map_files, which leads to what is mapped even if its name is gone, and measured; /proc/PID/maps alone shows
 * overlay's numbers. A process that has ended maps nothing; one that may not be looked at is an error.
 */
export function mappedFiles(
  pid: number,
  wanted: Wanted,
  known: Map<string, VerityDigest | undefined>,
): MappedFile[] {
  const found: MappedFile[] = [];
  const seen = new Set<string>();
  for (const line of textOf(`/proc/${pid}/maps`).split("\n")) {
    const [, range, device, inode, path] = MAPS_LINE.exec(line) ?? [];
    if (range === undefined || path === undefined || inode === "0") continue;
    const identity = `${device} ${inode} ${path}`;
    if (seen.has(identity)) continue;
    seen.add(identity);
    const size = wantedSize(pid, range, path, wanted);
    if (size === undefined) continue;
    if (!known.has(identity)) known.set(identity, measureMapping(pid, range, size, wanted));
    found.push({ pid, path, digest: known.get(identity) });
  }
  return found;
}

/** A mapped path without the mark of a file whose name is gone. */
export function livePath(path: string): string {
  return path.replace(/ \(deleted\)$/, "");
}

/**
 * The size of a mapped regular file that is wanted. It is not opened for that: opening a device may do anything.
 * undefined for all else, and for what was unmapped meanwhile.
 */
function wantedSize(pid: number, range: string, path: string, wanted: Wanted): number | undefined {
  try {
    const stat = statSync(`/proc/${pid}/map_files/${range}`);
    if (!stat.isFile()) return undefined;
    return wanted.sizes.has(stat.size) || wanted.paths.has(livePath(path)) ? stat.size : undefined;
  } catch (error) {
    if (hasEnded(error)) return undefined;
    throw error;
  }
}

/** undefined for a file that none of those looked for can be: it is not read, whatever its size. */
function measureMapping(pid: number, range: string, size: number, wanted: Wanted): VerityDigest | undefined {
  if (!wanted.sizes.has(size)) return undefined;
  let fd: number;
  try {
    fd = openSync(`/proc/${pid}/map_files/${range}`, "r");
  } catch (error) {
    if (hasEnded(error)) return undefined;
    throw error;
  }
  try {
    return measureDescriptor(fd, size);
  } finally {
    closeSync(fd);
  }
}
