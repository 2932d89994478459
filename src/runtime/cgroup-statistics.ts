import { CgroupFiles } from "./cgroup-files.ts";
import type { CurrentValues } from "./cgroup-target.ts";

/** Of one kind of memory, in bytes. */
type MemoryData = {
  readonly limit?: bigint;
  readonly usage?: bigint;
  readonly max?: bigint;
  /** How often the limit was met. */
  readonly failcnt: bigint;
};

/** Of a device. */
type BlkioEntry = {
  readonly major: bigint;
  readonly minor: bigint;
  readonly op: string;
  readonly value: bigint;
};

/** What runc's `events --stats` says (runc's types/events.go), as far as the control groups say it. Times in nanoseconds. */
export type Statistics = {
  readonly cpu: {
    readonly usage: {
      readonly total: bigint;
      /** By processor; v1 only. */
      readonly percpu?: readonly bigint[];
      readonly kernel: bigint;
      readonly user: bigint;
    };
    readonly throttling: {
      readonly periods: bigint;
      readonly throttledPeriods: bigint;
      readonly throttledTime: bigint;
    };
  };
  readonly memory: {
    readonly cache: bigint;
    readonly usage: MemoryData;
    readonly swap: MemoryData;
    /** v1 only. */
    readonly kernel?: MemoryData;
    readonly kernelTCP?: MemoryData;
    readonly raw: Readonly<Record<string, bigint>>;
  };
  readonly pids: { readonly current: bigint; readonly limit: bigint };
  readonly blkio: {
    readonly ioServiceBytesRecursive?: readonly BlkioEntry[];
    readonly ioServicedRecursive?: readonly BlkioEntry[];
  };
};

/** What is not there counts as 0, as with runc. @param directories the container's, one a hierarchy */
export function readStatistics(directories: readonly string[]): Statistics {
  const files = new CgroupFiles(directories);
  return {
    cpu: readCpu(files),
    memory: readMemory(files),
    pids: { current: files.number("pids.current") ?? 0n, limit: files.number("pids.max") ?? 0n },
    blkio: readBlkio(files),
  };
}

const NS_PER_TICK = 10_000_000n;
const NS_PER_US = 1000n;

function readCpu(files: CgroupFiles): Statistics["cpu"] {
  const stat = files.table("cpu.stat");
  const ticks = files.table("cpuacct.stat");
  const time = (v2: bigint | undefined, v1: bigint | undefined): bigint =>
    v2 === undefined ? (v1 ?? 0n) * NS_PER_TICK : v2 * NS_PER_US;
  const percpu = files.rows("cpuacct.usage_percpu")[0]?.map(BigInt);
  return {
    usage: {
      total: files.number("cpuacct.usage") ?? (stat["usage_usec"] ?? 0n) * NS_PER_US,
      ...(percpu === undefined ? {} : { percpu }),
      kernel: time(stat["system_usec"], ticks["system"]),
      user: time(stat["user_usec"], ticks["user"]),
    },
    throttling: {
      periods: stat["nr_periods"] ?? 0n,
      throttledPeriods: stat["nr_throttled"] ?? 0n,
      throttledTime: stat["throttled_time"] ?? (stat["throttled_usec"] ?? 0n) * NS_PER_US,
    },
  };
}

/** runc takes the largest number for a limit that is none. */
const NO_LIMIT = (1n << 64n) - 1n;

function readMemory(files: CgroupFiles): Statistics["memory"] {
  const raw = files.table("memory.stat");
  const usage = readMemoryV1(files, "memory");
  if (usage !== undefined) {
    const kernel = readMemoryV1(files, "memory.kmem");
    const kernelTCP = readMemoryV1(files, "memory.kmem.tcp");
    return {
      cache: raw["cache"] ?? 0n,
      usage,
      swap: readMemoryV1(files, "memory.memsw") ?? { failcnt: 0n },
      ...(kernel === undefined ? {} : { kernel }),
      ...(kernelTCP === undefined ? {} : { kernelTCP }),
      raw,
    };
  }
  return {
    cache: raw["file"] ?? 0n,
    usage: readMemoryV2(files, "memory"),
    swap: readMemoryV2(files, "memory.swap"),
    raw,
  };
}

/** @param kind what the files' names begin with */
function readMemoryV1(files: CgroupFiles, kind: string): MemoryData | undefined {
  const usage = files.number(`${kind}.usage_in_bytes`);
  if (usage === undefined) return undefined;
  return {
    limit: files.number(`${kind}.limit_in_bytes`) ?? 0n,
    usage,
    max: files.number(`${kind}.max_usage_in_bytes`) ?? 0n,
    failcnt: files.number(`${kind}.failcnt`) ?? 0n,
  };
}

function readMemoryV2(files: CgroupFiles, kind: string): MemoryData {
  const max = files.number(`${kind}.peak`);
  return {
    limit: files.text(`${kind}.max`)?.trim() === "max" ? NO_LIMIT : (files.number(`${kind}.max`) ?? 0n),
    usage: files.number(`${kind}.current`) ?? 0n,
    ...(max === undefined ? {} : { max }),
    failcnt: files.table(`${kind}.events`)["max"] ?? 0n,
  };
}

function readBlkio(files: CgroupFiles): Statistics["blkio"] {
  const bytes = blkioRows(files, "blkio.throttle.io_service_bytes_recursive", ["rbytes", "wbytes"]);
  const requests = blkioRows(files, "blkio.throttle.io_serviced_recursive", ["rios", "wios"]);
  return {
    ...(bytes.length === 0 ? {} : { ioServiceBytesRecursive: bytes }),
    ...(requests.length === 0 ? {} : { ioServicedRecursive: requests }),
  };
}

/** "8:0 Read 4096" of v1; of v2's io.stat, "8:0 rbytes=4096 ...", what reading and writing is called there. */
function blkioRows(files: CgroupFiles, v1: string, [read, write]: readonly [string, string]): BlkioEntry[] {
  const entry = (
    device: string | undefined,
    op: string | undefined,
    value: string | undefined,
  ): BlkioEntry[] => {
    const [, major, minor] = /^([0-9]+):([0-9]+)$/.exec(device ?? "") ?? [];
    if (major === undefined || minor === undefined || op === undefined || !/^[0-9]+$/.test(value ?? ""))
      return [];
    return [{ major: BigInt(major), minor: BigInt(minor), op, value: BigInt(value ?? 0) }];
  };
  const old = files.rows(v1).flatMap(([device, op, value]) => entry(device, op, value));
  if (old.length > 0) return old;
  return files.rows("io.stat").flatMap(([device, ...values]) =>
    values.flatMap((text) => {
      const [name, value] = text.split("=");
      const op = name === read ? "Read" : name === write ? "Write" : undefined;
      return entry(device, op, value);
    }),
  );
}

/**
 * How often the kernel has ended a process of the container because its memory was full. On v1 a container whose processes are
 * not ended but stopped (`disableOOMKiller`) counts once more while they are.
 */
export function countOutOfMemory(directories: readonly string[]): bigint {
  const files = new CgroupFiles(directories);
  const v1 = files.table("memory.oom_control");
  const kills = v1["oom_kill"] ?? files.table("memory.events")["oom_kill"] ?? 0n;
  return kills + (v1["oom_kill_disable"] === 1n ? (v1["under_oom"] ?? 0n) : 0n);
}

/** What an update must know of the limits there are. @param directories the container's, one a hierarchy */
export function readLimits(directories: readonly string[]): CurrentValues {
  const files = new CgroupFiles(directories);
  const memoryLimit = limit(files.text("memory.limit_in_bytes") ?? files.text("memory.max"));
  const memorySwap = limit(files.text("memory.memsw.limit_in_bytes"));
  const memoryUsage = limit(files.text("memory.usage_in_bytes") ?? files.text("memory.current"));
  const [quota, period] = (files.text("cpu.max") ?? cpuMaxV1(files) ?? "").trim().split(" ");
  return {
    ...(memoryLimit === undefined ? {} : { memoryLimit }),
    ...(memorySwap === undefined ? {} : { memorySwap }),
    ...(memoryUsage === undefined ? {} : { memoryUsage }),
    ...(quota === undefined || period === undefined ? {} : { cpuMax: [quota, period] as const }),
  };
}

/** In the form of cpu.max. */
function cpuMaxV1(files: CgroupFiles): string | undefined {
  const quota = files.text("cpu.cfs_quota_us")?.trim();
  return quota === undefined
    ? undefined
    : `${quota === "-1" ? "max" : quota} ${files.text("cpu.cfs_period_us")}`;
}

/** v1 says "unlimited" as the largest multiple of the page size. */
const V1_UNLIMITED = 1n << 62n;

function limit(text: string | undefined): bigint | undefined {
  const trimmed = text?.trim();
  if (trimmed === "max") return -1n;
  if (trimmed === undefined || !/^[0-9]+$/.test(trimmed)) return undefined;
  const value = BigInt(trimmed);
  return value >= V1_UNLIMITED ? -1n : value;
}
