import { AtomfsError } from "../core/errors.ts";
import type { CpuResources, MemoryResources, ResourcesConfig } from "../formats/oci/runtime-config/types.ts";
import type { CgroupTarget, CgroupWrite } from "./cgroup-target.ts";
import { rdmaLines } from "./cgroup-v1.ts";
import type { CgroupFacts } from "./host-facts.ts";

type Put = (file: string, value: bigint | number | string, onError?: CgroupWrite["onError"]) => void;

/**
 * Limits as files of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst), converted where the specification speaks v1.
 * @throws AtomfsError "unsupported" for what v2 cannot express
 */
export function planV2(
  resources: ResourcesConfig | undefined,
  target: CgroupTarget,
  warnings: string[],
): CgroupWrite[] {
  if (resources === undefined) return [];
  const writes: CgroupWrite[] = [];
  const put: Put = (file, value, onError = "fail") => {
    writes.push({
      file: `${target.facts.unified ?? ""}${target.path}/${file}`,
      value: String(value),
      onError,
    });
  };
  checkUnified(resources);
  // Refuses what needs a controller that the machine lacks, also in an update.
  v2Controllers(resources, target.facts);
  if (resources.memory !== undefined) putMemory(resources.memory, target, put, warnings);
  if (resources.cpu !== undefined) putCpu(resources.cpu, target, put);
  if (resources.pidsLimit !== undefined)
    put("pids.max", resources.pidsLimit > 0n ? resources.pidsLimit : "max");
  putBlockIo(resources, put, warnings);
  for (const { pageSize, limit } of resources.hugepageLimits) {
    put(`hugetlb.${pageSize}.max`, limit);
    put(`hugetlb.${pageSize}.rsvd.max`, limit, "ignore-absent");
  }
  if (resources.network !== undefined && (resources.network.classId ?? 0) !== 0)
    impossible("network.classID");
  if ((resources.network?.priorities.length ?? 0) > 0) impossible("network.priorities");
  for (const line of rdmaLines(resources)) put("rdma.max", line);
  // Last: what is named by its own file is meant.
  for (const [file, value] of resources.unified) put(file, value);
  return writes;
}

/** One name below the cgroup, and none of the files that move processes or the cgroup's own place. */
function checkUnified({ unified }: ResourcesConfig): void {
  for (const file of unified.keys()) {
    const reserved = /^cgroup\.(procs|threads|kill|freeze|type|subtree_control)$/.test(file);
    if (/^[a-z0-9_]+(\.[A-Za-z0-9_]+)+$/.test(file) && !reserved) continue;
    const shown = JSON.stringify(file.slice(0, 100));
    throw new AtomfsError("bad-data", `Cannot use config.json: linux.resources.unified has ${shown}`);
  }
}

function impossible(field: string): never {
  throw new AtomfsError(
    "unsupported",
    `Cannot set limits: resources.${field}: cgroup v2 has nothing like it`,
  );
}

/**
 * The controllers that these limits need, for cgroup.subtree_control.
 * @throws AtomfsError "unsupported" if the machine lacks one
 */
export function v2Controllers(resources: ResourcesConfig | undefined, facts: CgroupFacts): string[] {
  const needed = new Set<string>();
  if (resources?.memory !== undefined) needed.add("memory");
  if (resources?.cpu?.cpus !== undefined || resources?.cpu?.mems !== undefined) needed.add("cpuset");
  if (resources?.cpu !== undefined) needed.add("cpu");
  if (resources?.pidsLimit !== undefined) needed.add("pids");
  if (resources?.blockIo !== undefined) needed.add("io");
  if ((resources?.hugepageLimits.length ?? 0) > 0) needed.add("hugetlb");
  if ((resources?.rdma.size ?? 0) > 0) needed.add("rdma");
  for (const file of resources?.unified.keys() ?? []) needed.add(file.split(".")[0] ?? "");
  needed.delete("cgroup");
  for (const controller of needed) {
    if (!facts.unifiedControllers.includes(controller)) {
      const shown = JSON.stringify(controller.slice(0, 40));
      throw new AtomfsError(
        "unsupported",
        `Cannot set limits: this machine has no cgroup controller ${shown}`,
      );
    }
  }
  return [...needed];
}

function putMemory(
  memory: MemoryResources,
  { current, update }: CgroupTarget,
  put: Put,
  warnings: string[],
): void {
  const limit = memory.limit === 0n ? undefined : memory.limit;
  const swap = v2Swap(memory, update ? current.memoryLimit : undefined);
  // Absent without swap accounting: then no container can swap more or less than another.
  if (swap !== undefined) put("memory.swap.max", swap, swap === "max" ? "ignore-absent" : "fail");
  if (limit !== undefined) put("memory.max", unlimited(limit));
  if (memory.reservation !== undefined && memory.reservation !== 0n)
    put("memory.low", unlimited(memory.reservation));
  // Tuning of v1, not limits: runc refuses none of them either.
  if (memory.swappiness !== undefined)
    warnings.push("resources.memory.swappiness: cgroup v2 has none; it is left out");
  if (memory.disableOomKiller)
    warnings.push("resources.memory.disableOOMKiller: cgroup v2 cannot; it is left out");
}

function unlimited(value: bigint): string {
  return value < 0n ? "max" : String(value);
}

/** v1 counts memory and swap together, v2 swap alone. @param before the memory limit that stays if the file sets none */
function v2Swap(memory: MemoryResources, before: bigint | undefined): string | undefined {
  const limit = memory.limit === undefined || memory.limit === 0n ? before : memory.limit;
  const { swap } = memory;
  if (swap === undefined || swap === 0n) return memory.limit === -1n ? "max" : undefined;
  if (swap === -1n) return "max";
  const refuse = (why: string): never => {
    throw new AtomfsError(
      "bad-data",
      `Cannot use config.json: linux.resources.memory.swap is ${swap}, ${why}`,
    );
  };
  if (limit === undefined || limit === -1n) return refuse("and memory has no limit");
  if (swap < limit) return refuse(`less than the memory limit ${limit}`);
  return String(swap - limit);
}

function putCpu(cpu: CpuResources, { current, update }: CgroupTarget, put: Put): void {
  if (cpu.idle !== undefined) put("cpu.idle", cpu.idle);
  // cpu.idle = 1 fixes the weight, and the kernel refuses another.
  if (cpu.shares !== undefined && cpu.shares !== 0n && cpu.idle !== 1n)
    put("cpu.weight", cpuWeight(cpu.shares));
  if (cpu.burst !== undefined) put("cpu.max.burst", cpu.burst, "retry");
  const quotaSet = cpu.quota !== undefined && cpu.quota !== 0n;
  const periodSet = cpu.period !== undefined && cpu.period !== 0n;
  if (quotaSet || periodSet) {
    const before = (update ? current.cpuMax : undefined) ?? ["max", "100000"];
    const quota = quotaSet ? unlimited(cpu.quota ?? -1n) : before[0];
    put("cpu.max", `${quota} ${periodSet ? cpu.period : before[1]}`, "retry");
  }
  if ((cpu.realtimeRuntime ?? 0n) !== 0n) impossible("cpu.realtimeRuntime");
  if ((cpu.realtimePeriod ?? 0n) !== 0n) impossible("cpu.realtimePeriod");
  if (cpu.cpus !== undefined) put("cpuset.cpus", cpu.cpus);
  if (cpu.mems !== undefined) put("cpuset.mems", cpu.mems);
}

/**
 * cpu.shares (2 to 262144, 1024 is usual) as cpu.weight (1 to 10000, 100 is usual): runc 1.3.2's and crun 1.23's formula, which
 * gives 100 for 1024; the old linear one gave 39.
 */
export function cpuWeight(shares: bigint): number {
  if (shares <= 2n) return 1;
  if (shares >= 262144n) return 10000;
  const log = Math.log2(Number(shares));
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}

function putBlockIo({ blockIo }: ResourcesConfig, put: Put, warnings: string[]): void {
  if (blockIo === undefined) return;
  if (blockIo.leafWeight !== undefined)
    warnings.push("resources.blockIO.leafWeight: cgroup v2 has none; it is left out");
  // Shares, not limits, and the file depends on the I/O scheduler. 10..1000 becomes 1..10000 for io.weight.
  if (blockIo.weight !== undefined) {
    put("io.bfq.weight", blockIo.weight, "ignore-absent");
    put("io.weight", 1 + Math.floor(((blockIo.weight - 10) * 9999) / 990), "ignore-absent");
  }
  for (const { major, minor, weight } of blockIo.weightDevice) {
    if (weight !== undefined) put("io.bfq.weight", `${major}:${minor} ${weight}`, "warn");
  }
  const limits = [
    ["rbps", blockIo.throttleReadBpsDevice],
    ["wbps", blockIo.throttleWriteBpsDevice],
    ["riops", blockIo.throttleReadIopsDevice],
    ["wiops", blockIo.throttleWriteIopsDevice],
  ] as const;
  for (const [key, devices] of limits) {
    for (const { major, minor, rate } of devices)
      put("io.max", `${major}:${minor} ${key}=${rate === 0n ? "max" : rate}`);
  }
}
