import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { VerityDigest } from "../core/digest.ts";
import { measureDescriptor } from "./container-root.ts";

/** A file that a process has mapped, measured through /proc/PID/map_files. */
export type MappedFile = {
  readonly pid: number;
  /** As /proc/PID/maps shows it, in the process's root. */
  readonly path: string;
  readonly digest: VerityDigest;
};

/** Processes that share the mount namespace of a container's first process, or run in a cgroup of its own name. */
export function containerProcesses(pid: number, containerId: string): number[] {
  const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => {
      try {
        return (
          readlinkSync(`/proc/${each}/ns/mnt`) === namespace ||
          // conmon's own cgroup has the id in its name, too.
          new RegExp(`(^|[/:-])(libpod-|crio-)?${containerId}(\\.scope)?(/|$)`, "m").test(
            readFileSync(`/proc/${each}/cgroup`, "utf8").replace(/libpod-conmon-[^\n]*/g, ""),
          )
        );
      } catch {
        return false;
      }
    });
}

const MAPS_LINE = /^([0-9a-f]+-[0-9a-f]+) \S+ \S+ (\S+) (\d+) +(\/.*)$/;

/** Which mappings are measured: a file of another size and another path can be none of those that are looked for. */
export type Wanted = { readonly sizes: ReadonlySet<number>; readonly paths: ReadonlyMap<string, unknown> };

/**
 * Every file that a process maps, executable or not, that has a wanted size or path. Each is opened through /proc/PID/map_files, which leads to what is mapped even if its name
 * is gone, and measured; /proc/PID/maps alone shows overlay's numbers. A process that has ended maps nothing.
 */
export function mappedFiles(pid: number, wanted: Wanted, known: Map<string, VerityDigest>): MappedFile[] {
  const found: MappedFile[] = [];
  const seen = new Set<string>();
  for (const line of mapsOf(pid).split("\n")) {
    const [, range, device, inode, path] = MAPS_LINE.exec(line) ?? [];
    if (range === undefined || path === undefined || inode === "0") continue;
    const identity = `${device} ${inode} ${path}`;
    if (seen.has(identity)) continue;
    seen.add(identity);
    const digest = known.get(identity) ?? measureMapping(pid, range, path, wanted);
    if (digest === undefined) continue;
    known.set(identity, digest);
    found.push({ pid, path, digest });
  }
  return found;
}

function mapsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/maps`, "latin1");
  } catch {
    return "";
  }
}

/** A mapped path without the mark of a file whose name is gone. */
export function livePath(path: string): string {
  return path.replace(/ \(deleted\)$/, "");
}

/** undefined for what has another size, is no regular file or was unmapped meanwhile. */
function measureMapping(pid: number, range: string, path: string, wanted: Wanted): VerityDigest | undefined {
  let fd: number;
  try {
    fd = openSync(`/proc/${pid}/map_files/${range}`, "r");
  } catch {
    return undefined;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || !(wanted.sizes.has(stat.size) || wanted.paths.has(livePath(path))))
      return undefined;
    return measureDescriptor(fd);
  } finally {
    closeSync(fd);
  }
}
