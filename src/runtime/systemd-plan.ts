import { AtomfsError } from "../core/errors.ts";
import type { ResourcesConfig } from "../formats/oci/runtime-config/types.ts";
import type { CgroupWrite, CurrentValues } from "./cgroup-target.ts";
import { cpuWeight } from "./cgroup-v2.ts";
import { parseProperty, type SystemdProperty } from "./systemd-property.ts";

/** A scope of systemd that a container's processes are in: what `--systemd-cgroup` asks for. */
export type SystemdScope = {
  /** "crio-ID.scope" */
  readonly unit: string;
  /** "machine.slice" */
  readonly slice: string;
  /** Where systemd makes it in each hierarchy: "/a.slice/a-b.slice/crio-ID.scope". */
  readonly path: string;
  /** For StartTransientUnit, without PIDs. */
  readonly properties: readonly SystemdProperty[];
};

const DEFAULT_SLICE = "system.slice";
/** What the names of annotations begin with that become properties of the scope. */
export const PROPERTY_ANNOTATION = "org.systemd.property.";
/** systemd.unit(5): what a unit's name may have. */
const UNIT_NAME = /^[A-Za-z0-9:_.\\@-]{1,200}$/;

/**
 * @param cgroupsPath "slice:prefix:name"; undefined: "system.slice:crio-lxc:ID"
 * @throws AtomfsError "bad-data" for another form and for annotations that are no property
 */
export function planScope(
  cgroupsPath: string | undefined,
  id: string,
  resources: ResourcesConfig | undefined,
  annotations: ReadonlyMap<string, string>,
  isV2: boolean,
): SystemdScope {
  const parts = (cgroupsPath ?? `${DEFAULT_SLICE}:crio-lxc:${id}`).split(":");
  const [first = "", prefix = "", name = ""] = parts;
  if (parts.length !== 3)
    refuse(`${JSON.stringify(cgroupsPath)} is not "slice:prefix:name", as --systemd-cgroup wants`);
  const slice = first === "" ? DEFAULT_SLICE : first;
  const unit = `${prefix === "" ? "" : `${prefix}-`}${name}.scope`;
  if (name === "" || !UNIT_NAME.test(unit)) refuse(`has the unit name ${JSON.stringify(unit)}`);
  if (name.endsWith(".slice")) refuse("names a slice for a container, which is not implemented");
  const own = [...annotations].flatMap(([key, value]) =>
    key.startsWith(PROPERTY_ANNOTATION) ? [parseProperty(key.slice(PROPERTY_ANNOTATION.length), value)] : [],
  );
  return {
    unit,
    slice,
    path: `${slicePath(slice)}/${unit}`,
    properties: [
      { name: "Description", signature: "s", values: [`crio-lxc container ${id}`] },
      { name: "Slice", signature: "s", values: [slice] },
      { name: "Delegate", signature: "b", values: ["true"] },
      { name: "DefaultDependencies", signature: "b", values: ["false"] },
      ...[
        "MemoryAccounting",
        "CPUAccounting",
        "TasksAccounting",
        isV2 ? "IOAccounting" : "BlockIOAccounting",
      ].map((accounting): SystemdProperty => ({ name: accounting, signature: "b", values: ["true"] })),
      ...limitProperties(resources, isV2),
      ...own,
    ],
  };
}

/** "a-b.slice" is in "/a.slice/a-b.slice": systemd.slice(5). */
export function slicePath(slice: string): string {
  if (slice === "-.slice") return "";
  const stem = slice.endsWith(".slice") ? slice.slice(0, -".slice".length) : "";
  const names = stem.split("-");
  if (!UNIT_NAME.test(slice) || names.includes(""))
    refuse(`has the slice ${JSON.stringify(slice)}, which cannot be`);
  return names.map((_, i) => `/${names.slice(0, i + 1).join("-")}.slice`).join("");
}

function refuse(why: string): never {
  throw new AtomfsError("bad-data", `Cannot use config.json: linux.cgroupsPath ${why}`);
}

/** What systemd takes for no limit. */
const INFINITY = (1n << 64n) - 1n;

/**
 * The limits that systemd has properties for: it shows them, and keeps them over `daemon-reload`. All limits, these too, are
 * written to the container's own directory inside the scope.
 * @param current of a running container, for an update that names only a part of a limit
 */
export function limitProperties(
  resources: ResourcesConfig | undefined,
  isV2: boolean,
  { cpuMax }: Pick<CurrentValues, "cpuMax"> = {},
): SystemdProperty[] {
  const found: SystemdProperty[] = [];
  const put = (name: string, value: bigint | number | undefined): void => {
    if (value !== undefined) found.push({ name, signature: "t", values: [String(value)] });
  };
  const memory = resources?.memory;
  const bytes = (value: bigint | undefined): bigint | undefined => {
    if (value === undefined || value === 0n) return undefined;
    return value < 0n ? INFINITY : value;
  };
  put(isV2 ? "MemoryMax" : "MemoryLimit", bytes(memory?.limit));
  if (isV2) put("MemoryLow", bytes(memory?.reservation));
  const { shares = 0n, quota = 0n, period = 0n } = resources?.cpu ?? {};
  if (shares > 0n) put(isV2 ? "CPUWeight" : "CPUShares", isV2 ? cpuWeight(shares) : shares);
  if (quota !== 0n || period > 0n) {
    // systemd has time per second: it takes both to know that.
    const [quotaNow = "max", periodNow = DEFAULT_PERIOD] = cpuMax ?? [];
    const time = quota === 0n ? (quotaNow === "max" ? -1n : BigInt(quotaNow)) : quota;
    put("CPUQuotaPerSecUSec", quotaPerSecond(time, period > 0n ? period : BigInt(periodNow)));
    if (period > 0n) put("CPUQuotaPeriodUSec", period);
  }
  const pids = resources?.pidsLimit;
  if (pids !== undefined) put("TasksMax", pids > 0n ? pids : INFINITY);
  return found;
}

const SWAP_FILE = "/memory.swap.max";

/** v2: the limit that systemd has for swap alone, which config.json has together with memory: what the planned writes make of it. */
export function swapProperty(writes: readonly CgroupWrite[]): SystemdProperty[] {
  const value = writes.findLast(({ file }) => file.endsWith(SWAP_FILE))?.value;
  if (value === undefined) return [];
  return [{ name: "MemorySwapMax", signature: "t", values: [value === "max" ? String(INFINITY) : value] }];
}

const DEFAULT_PERIOD = 100_000n;
const SECOND_US = 1_000_000n;
/** systemd rounds up to 10 ms, and complains of other values. */
const GRAIN_US = 10_000n;

function quotaPerSecond(quota: bigint, period: bigint): bigint {
  if (quota < 0n) return INFINITY;
  const exact = (quota * SECOND_US) / period;
  return ((exact + GRAIN_US - 1n) / GRAIN_US) * GRAIN_US;
}
