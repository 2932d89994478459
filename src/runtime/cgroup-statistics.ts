import { join } from "node:path";
import type { CurrentValues } from "./cgroup-target.ts";
import { readIfThere } from "./read-if-there.ts";

/** What runc's `events --stats` says, as far as the control groups say it. Times in nanoseconds, sizes in bytes. */
export type Statistics = {
  readonly cpu: {
    readonly usage: { readonly total: number; readonly kernel: number; readonly user: number };
    readonly throttling: {
      readonly periods: number;
      readonly throttledPeriods: number;
      readonly throttledTime: number;
    };
  };
  readonly memory: {
    readonly usage: { readonly usage: number; readonly limit: number; readonly failcnt: number };
    readonly raw: Readonly<Record<string, number>>;
  };
  readonly pids: { readonly current: number; readonly limit: number };
};

/** What is not there counts as 0, as with runc. @param directories the container's, one a hierarchy */
export function readStatistics(directories: readonly string[]): Statistics {
  const files = new Files(directories);
  const v2 = files.table("cpu.stat");
  const ticks = files.table("cpuacct.stat");
  const nsPerTick = 1e7;
  const memory = files.table("memory.stat");
  return {
    cpu: {
      usage: {
        total: files.number("cpuacct.usage") ?? (v2["usage_usec"] ?? 0) * 1000,
        kernel:
          v2["system_usec"] === undefined ? (ticks["system"] ?? 0) * nsPerTick : v2["system_usec"] * 1000,
        user: v2["user_usec"] === undefined ? (ticks["user"] ?? 0) * nsPerTick : v2["user_usec"] * 1000,
      },
      throttling: {
        periods: v2["nr_periods"] ?? 0,
        throttledPeriods: v2["nr_throttled"] ?? 0,
        throttledTime: v2["throttled_time"] ?? (v2["throttled_usec"] ?? 0) * 1000,
      },
    },
    memory: {
      usage: {
        usage: files.number("memory.usage_in_bytes") ?? files.number("memory.current") ?? 0,
        limit: files.number("memory.limit_in_bytes") ?? files.number("memory.max") ?? 0,
        failcnt: files.number("memory.failcnt") ?? 0,
      },
      raw: memory,
    },
    pids: { current: files.number("pids.current") ?? 0, limit: files.number("pids.max") ?? 0 },
  };
}

/** What an update must know of the limits there are. @param directories the container's, one a hierarchy */
export function readLimits(directories: readonly string[]): CurrentValues {
  const files = new Files(directories);
  const memoryLimit = limit(files.text("memory.limit_in_bytes") ?? files.text("memory.max"));
  const memorySwap = limit(files.text("memory.memsw.limit_in_bytes"));
  const memoryUsage = limit(files.text("memory.usage_in_bytes") ?? files.text("memory.current"));
  const [quota, period] = (files.text("cpu.max") ?? "").trim().split(" ");
  return {
    ...(memoryLimit === undefined ? {} : { memoryLimit }),
    ...(memorySwap === undefined ? {} : { memorySwap }),
    ...(memoryUsage === undefined ? {} : { memoryUsage }),
    ...(quota === undefined || period === undefined ? {} : { cpuMax: [quota, period] as const }),
  };
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

class Files {
  readonly #directories: readonly string[];

  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  /** Undefined if no hierarchy has the file, and for "max". */
  number(name: string): number | undefined {
    const value = Number(this.text(name)?.trim() || Number.NaN);
    return Number.isFinite(value) ? value : undefined;
  }

  /** Lines of a name and a number. */
  table(name: string): Readonly<Record<string, number>> {
    const found: Record<string, number> = {};
    for (const line of this.text(name)?.split("\n") ?? []) {
      const [key, value] = line.split(" ");
      if (key !== undefined && value !== undefined) found[key] = Number(value);
    }
    return found;
  }

  /** On hybrid machines several hierarchies may have a file of the name; the v1 one, if there is one, has the numbers. */
  text(name: string): string | undefined {
    let fallback: string | undefined;
    for (const directory of this.#directories) {
      const text = readIfThere(join(directory, name));
      if (text === undefined) continue;
      if (readIfThere(join(directory, "cgroup.controllers")) === undefined) return text;
      fallback ??= text;
    }
    return fallback;
  }
}
