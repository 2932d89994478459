import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { RLIMITS } from "../formats/oci/runtime-config/types.ts";
import { type Mount, readMountsIn } from "../sys/mountinfo.ts";
import type { CgroupFacts, CgroupHierarchy, HostFacts } from "./host-facts.ts";
import { readIfThere } from "./read-if-there.ts";

/** Where all hierarchies are mounted. */
const CGROUPS = "/sys/fs/cgroup";
/** Lasts as long as the boot; asking lxc-start itself costs more than a whole `state`. */
const LXC_VERSION_CACHE = "/run/crio-lxc-version.json";

/** Reads what the planner must know of this machine and this process. @param lxcStart path of lxc-start */
export function readHostFacts(lxcStart: string): HostFacts {
  const status = readFileSync("/proc/self/status", "latin1");
  return {
    cgroups: cgroupFacts(readMountsIn(CGROUPS)),
    capabilities: { bounding: capabilityMask(status, "CapBnd"), effective: capabilityMask(status, "CapEff") },
    groups:
      /^Groups:(.*)$/m
        .exec(status)?.[1]
        ?.match(/[0-9]+/g)
        ?.map(Number) ?? [],
    lastCapability: Number(readFileSync("/proc/sys/kernel/cap_last_cap", "latin1")),
    hardLimits: hardLimits(readFileSync("/proc/self/limits", "latin1")),
    lowestOomScore: lowestOomScore(capabilityMask(status, "CapEff")),
    apparmor: readIfThere("/sys/module/apparmor/parameters/enabled")?.trim() === "Y",
    selinux: readIfThere("/sys/fs/selinux/enforce") !== undefined,
    seccompActions: (readIfThere("/proc/sys/kernel/seccomp/actions_avail") ?? "")
      .split(/\s+/)
      .filter((name) => name !== ""),
    lxcVersion: lxcVersion(lxcStart),
  };
}

/** @param mounts the later of two on the same place counts */
export function cgroupFacts(mounts: readonly Mount[]): CgroupFacts {
  const hierarchies: CgroupHierarchy[] = [];
  let unified: string | undefined;
  for (const { type, target, superOptions, root } of mounts) {
    // A part of a hierarchy, bound somewhere, is not where containers are made.
    if (root !== "/" || (target !== CGROUPS && !target.startsWith(`${CGROUPS}/`))) continue;
    if (type === "cgroup2") unified = target;
    if (type !== "cgroup") continue;
    const controllers = superOptions.filter((option) => CONTROLLER.test(option));
    hierarchies.push({ mountPoint: target, controllers });
  }
  const layout = hierarchies.length === 0 ? "v2" : unified === undefined ? "v1" : "hybrid";
  const text = unified === undefined ? "" : (readIfThere(`${unified}/cgroup.controllers`) ?? "");
  const unifiedControllers = text.split(/\s+/).filter((name) => name !== "");
  // Beside v1 hierarchies, controllers of v2 stay unused.
  const usable = layout === "v2" ? unifiedControllers : hierarchies.flatMap(({ controllers }) => controllers);
  return {
    layout,
    hierarchies,
    unified,
    unifiedControllers,
    hugePages: usable.includes("hugetlb") || machineHasHugePages(),
  };
}

const HUGE_PAGES = "/sys/kernel/mm/hugepages";

/** Pages of a pool, or such as the kernel may add to it (Documentation/admin-guide/mm/hugetlbpage). */
function machineHasHugePages(): boolean {
  if (!existsSync(HUGE_PAGES)) return false;
  return readdirSync(HUGE_PAGES).some((size) =>
    ["nr_hugepages", "nr_overcommit_hugepages"].some(
      (file) => readIfThere(`${HUGE_PAGES}/${size}/${file}`)?.trim() !== "0",
    ),
  );
}

/** Of a v1 hierarchy's options; the others are rw, xattr, release_agent=... */
const CONTROLLER =
  /^(cpu|cpuacct|cpuset|memory|devices|freezer|blkio|pids|net_cls|net_prio|perf_event|hugetlb|rdma|misc|name=.+)$/;

const CAP_SYS_RESOURCE = 1n << 24n;

function lowestOomScore(effective: bigint): number {
  if ((effective & CAP_SYS_RESOURCE) !== 0n) return -1000;
  return Number(readFileSync("/proc/self/oom_score_adj", "latin1"));
}

function capabilityMask(status: string, name: string): bigint {
  const digits = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1];
  return digits === undefined ? 0n : BigInt(`0x${digits}`);
}

/** Headings of /proc/PID/limits. */
const LIMIT_NAMES: Readonly<Record<keyof typeof RLIMITS, string>> = {
  RLIMIT_CPU: "Max cpu time",
  RLIMIT_FSIZE: "Max file size",
  RLIMIT_DATA: "Max data size",
  RLIMIT_STACK: "Max stack size",
  RLIMIT_CORE: "Max core file size",
  RLIMIT_RSS: "Max resident set",
  RLIMIT_NPROC: "Max processes",
  RLIMIT_NOFILE: "Max open files",
  RLIMIT_MEMLOCK: "Max locked memory",
  RLIMIT_AS: "Max address space",
  RLIMIT_LOCKS: "Max file locks",
  RLIMIT_SIGPENDING: "Max pending signals",
  RLIMIT_MSGQUEUE: "Max msgqueue size",
  RLIMIT_NICE: "Max nice priority",
  RLIMIT_RTPRIO: "Max realtime priority",
  RLIMIT_RTTIME: "Max realtime timeout",
};

/** @param text /proc/self/limits */
export function hardLimits(text: string): Map<number, bigint> {
  const limits = new Map<number, bigint>();
  for (const [name, heading] of Object.entries(LIMIT_NAMES)) {
    const line = text.split("\n").find((one) => one.startsWith(heading));
    const hard = line?.slice(heading.length).trim().split(/\s+/)[1];
    const number = RLIMITS[name as keyof typeof RLIMITS];
    if (hard !== undefined && /^[0-9]+$/.test(hard)) limits.set(number, BigInt(hard));
  }
  return limits;
}

type Version = HostFacts["lxcVersion"];

function lxcVersion(lxcStart: string): Version {
  const { ino, mtimeMs, size } = statSync(lxcStart);
  const key = `${lxcStart} ${ino} ${mtimeMs} ${size}`;
  const known = parseCache(readIfThere(LXC_VERSION_CACHE) ?? "", key);
  if (known !== undefined) return known;
  const { success, stdout } = Bun.spawnSync([lxcStart, "--version"]);
  if (!success) throw new AtomfsError("unsupported", `${lxcStart} --version failed`);
  const text = stdout.toString("latin1");
  const [, major = "0", minor = "0"] = /^([0-9]+)\.([0-9]+)/.exec(text) ?? [];
  const version = { major: Number(major), minor: Number(minor) };
  const temporary = `${LXC_VERSION_CACHE}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify({ key, ...version }), { mode: 0o600 });
  renameSync(temporary, LXC_VERSION_CACHE);
  return version;
}

function parseCache(text: string, key: string): Version | undefined {
  try {
    const { key: found, major, minor } = JSON.parse(text);
    return found === key && Number.isInteger(major) && Number.isInteger(minor) ? { major, minor } : undefined;
  } catch {
    return undefined;
  }
}
