import {
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { probeMounts } from "../../mounts/probe.ts";
import type { CgroupFacts } from "../../runtime/host-facts.ts";
import { readStorageConf } from "../../sources/containers-storage.ts";
import type { StoreLayout } from "../../store/layout.ts";
import { supportsReflink } from "../../sys/extents.ts";
import { Fd } from "../../sys/fd.ts";
import { changeMount, cloneMountTree } from "../../sys/mount.ts";
import { supportsVerity } from "../../sys/verity.ts";
import type { IdMapFacts, StorageFacts } from "./kernel-checks.ts";

/** A directory on the filesystem that has, or will have, the store; it goes when it is disposed. */
export function openProbeDirectory(layout: StoreLayout): Disposable & { readonly path: string } {
  let parent = existsSync(layout.tmp) ? layout.tmp : layout.root;
  while (!existsSync(parent)) parent = dirname(parent);
  const path = mkdtempSync(join(parent, ".atomfs-doctor-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** @param directory of `openProbeDirectory` */
export function probeStorage(directory: string): StorageFacts {
  const graphRoot = readStorageConf().graphRoot;
  const { bavail, bsize } = statfsSync(directory);
  return {
    mounts: probeMounts(directory, directory),
    reflink: supportsReflink(directory),
    sameFilesystem: existsSync(graphRoot)
      ? statSync(realpathSync(graphRoot)).dev === statSync(directory).dev
      : undefined,
    verity: supportsVerity(directory),
    freeBytes: bavail * bsize,
  };
}

/** Makes a user namespace and maps a mount of the directory by it. */
export async function probeIdMaps(directory: string): Promise<IdMapFacts> {
  const child = Bun.spawn(["unshare", "--user", "sh", "-c", "echo made; read end"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  try {
    const made = await child.stdout.getReader().read();
    if (made.value === undefined) {
      const why = (await new Response(child.stderr).text()).trim();
      return { userNamespace: `no user namespace can be made: ${why}`, idMappedMount: "not tried" };
    }
    for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${child.pid}/${map}`, "0 100000 65536\n");
    return { userNamespace: undefined, idMappedMount: mapMount(directory, child.pid) };
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

function mapMount(directory: string, pid: number): string | undefined {
  try {
    using mount = cloneMountTree(directory, false);
    using idmap = new Fd(openSync(`/proc/${pid}/ns/user`, constants.O_RDONLY));
    changeMount(mount, { idmap });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Makes a cgroup in each hierarchy and removes it. @returns why one cannot be made */
export function probeCgroups({ hierarchies, unified }: CgroupFacts): string | undefined {
  const mountPoints = [
    ...hierarchies.map(({ mountPoint }) => mountPoint),
    ...(unified === undefined ? [] : [unified]),
  ];
  for (const mountPoint of mountPoints) {
    const directory = join(mountPoint, `atomfs-doctor-${process.pid}`);
    try {
      mkdirSync(directory);
      rmdirSync(directory);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
  return undefined;
}

/** The masks of /proc/self/status. */
export function effectiveCapabilities(): { readonly effective: bigint; readonly last: number } {
  const status = readFileSync("/proc/self/status", "latin1");
  const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return {
    effective: BigInt(`0x${digits}`),
    last: Number(readFileSync("/proc/sys/kernel/cap_last_cap", "latin1")),
  };
}
