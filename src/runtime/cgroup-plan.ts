import { AtomfsError } from "../core/errors.ts";
import type { ResourcesConfig } from "../formats/oci/runtime-config/types.ts";
import { type CgroupTarget, type CgroupWrite, type CurrentValues, hierarchyOf } from "./cgroup-target.ts";
import { planV1 } from "./cgroup-v1.ts";
import { planV2, v2Controllers } from "./cgroup-v2.ts";
import { deviceState, lxcDeviceLines, v1DeviceWrites } from "./device-rules.ts";
import type { CgroupFacts } from "./host-facts.ts";
import { planScope, type SystemdScope, swapProperty } from "./systemd-plan.ts";

export type { CgroupWrite } from "./cgroup-target.ts";

export type CgroupPlan = {
  /** Below the root of every hierarchy; absolute and clean, never "/". */
  readonly path: string;
  /** Where liblxc's monitor is while it lives; not above `path`. */
  readonly monitorPath: string;
  /** Made by liblxc, removed by `delete`: one in each hierarchy, absolute. */
  readonly directories: readonly string[];
  /** v2: switched on in cgroup.subtree_control of every directory above `path`, from the root down. */
  readonly controllers: readonly string[];
  /** v2: all others, likewise, where they can be had: programs read their files, and a later update writes them. */
  readonly otherControllers: readonly string[];
  /** In order, after the directories exist and before the container's program runs. */
  readonly writes: readonly CgroupWrite[];
  readonly lxcConfig: readonly (readonly [key: string, value: string])[];
  readonly warnings: readonly string[];
  /** The scope around `path`, to be made first, and where cgroup v2 is mounted. */
  readonly systemd: { readonly scope: SystemdScope; readonly unified: string | undefined } | undefined;
};

/** crun's name for the same. */
const IN_SCOPE = "container";

/**
 * @param systemdAnnotations the container's, for the systemd driver; undefined: the cgroupfs driver
 * @throws AtomfsError "unsupported" for limits that the layout cannot express, "bad-data" for values
 * that contradict each other
 */
export function planCgroups(
  resources: ResourcesConfig | undefined,
  cgroupsPath: string | undefined,
  facts: CgroupFacts,
  id: string,
  systemdAnnotations: ReadonlyMap<string, string> | undefined,
): CgroupPlan {
  const isV2 = facts.layout === "v2";
  const scope =
    systemdAnnotations === undefined
      ? undefined
      : planScope(cgroupsPath, id, resources, systemdAnnotations, isV2);
  // The scope is systemd's, what is in it is ours (systemd.resource-control(5), Delegate=).
  const path = scope === undefined ? containerPath(cgroupsPath, id) : `${scope.path}/${IN_SCOPE}`;
  const warnings: string[] = [];
  warnOfKernelMemory(resources, warnings);
  const limits = withoutIdleLimits(resources, facts);
  const target: CgroupTarget = { facts, path, current: {}, update: false };
  const devices = deviceState(resources?.devices ?? []);
  const writes =
    facts.layout === "v2"
      ? planV2(limits, target, warnings)
      : [
          ...v1DeviceWrites(devices, hierarchyOf(facts, "devices"), path),
          ...planV1(limits, target, warnings),
        ];
  const monitorPath = `/crio-lxc-monitor/${id}`;
  const controllers = isV2 ? v2Controllers(limits, facts) : [];
  return {
    path,
    monitorPath,
    directories: allRoots(facts).map((root) => root + path),
    controllers,
    otherControllers: isV2 ? facts.unifiedControllers.filter((name) => !controllers.includes(name)) : [],
    writes,
    lxcConfig: [
      ["lxc.cgroup.relative", "0"],
      ["lxc.cgroup.dir.container", path.slice(1)],
      ["lxc.cgroup.dir.monitor", monitorPath.slice(1)],
      ["lxc.cgroup.dir.monitor.pivot", `crio-lxc-pivot/${id}`],
      ...(isV2 ? lxcDeviceLines(devices) : []),
    ],
    warnings,
    systemd:
      scope === undefined
        ? undefined
        : {
            // First: what annotations say of it comes later.
            scope: { ...scope, properties: [...swapProperty(writes), ...scope.properties] },
            unified: facts.unified,
          },
  };
}

/**
 * For the verb `update`: the writes that change a container's limits, in an order that is never refused on the way. Device rules
 * change only if the file has a list, and only in v1 (in v2 they are a program that liblxc made).
 * @param path the plan's at create
 * @throws AtomfsError as `planCgroups`, and "bad-data" if the memory limit is below what is in use and `checkBeforeUpdate` is set
 */
export function planUpdate(
  resources: ResourcesConfig,
  path: string,
  facts: CgroupFacts,
  current: CurrentValues,
): { readonly writes: readonly CgroupWrite[]; readonly warnings: readonly string[] } {
  const warnings: string[] = [];
  const target: CgroupTarget = { facts, path, current, update: true };
  warnOfKernelMemory(resources, warnings);
  const limits = withoutIdleLimits(resources, facts);
  const { memory, devices } = resources;
  const limit = memory?.limit ?? -1n;
  if (memory?.checkBeforeUpdate && limit >= 0n && current.memoryUsage !== undefined) {
    if (current.memoryUsage > limit) {
      const why = `resources.memory.limit is ${limit}, less than the ${current.memoryUsage} bytes in use`;
      throw new AtomfsError("bad-data", `Cannot update this container: ${why}`);
    }
  }
  if (facts.layout === "v2") {
    if (devices !== undefined && devices.length > 0)
      throw new AtomfsError(
        "unsupported",
        "Cannot update this container: resources.devices: not implemented on cgroup v2",
      );
    return { writes: planV2(limits, target, warnings), warnings };
  }
  const rules =
    devices === undefined || devices.length === 0
      ? []
      : v1DeviceWrites(deviceState(devices), hierarchyOf(facts, "devices"), path);
  return { writes: [...rules, ...planV1(limits, target, warnings)], warnings };
}

/** Deprecated, gone from the kernel, and so without effect in runc from 1.0 on: kernel memory counts as memory. */
function warnOfKernelMemory(resources: ResourcesConfig | undefined, warnings: string[]): void {
  if (resources?.memory?.kernelMemory)
    warnings.push("resources.memory.kernel and kernelTCP are ignored: the memory limit counts both");
}

/**
 * CRI-O limits huge pages of every size in every container, also where there are none to be had and no controller is mounted: that
 * the limit holds by itself is nothing to be told of each time.
 */
function withoutIdleLimits<Limits extends ResourcesConfig | undefined>(
  resources: Limits,
  facts: CgroupFacts,
): Limits {
  if (resources === undefined || facts.hugePages || resources.hugepageLimits.length === 0) return resources;
  return { ...resources, hugepageLimits: [] };
}

/**
 * The form of the cgroupfs driver: a path below the hierarchies' roots. A relative one and none at all go to a directory of our own.
 * @throws AtomfsError "bad-data" for the root itself, for a way out of it and for what the LXC configuration cannot hold
 */
function containerPath(cgroupsPath: string | undefined, id: string): string {
  const refuse = (why: string): never => {
    throw new AtomfsError("bad-data", `Cannot use config.json: linux.cgroupsPath ${why}`);
  };
  const given = cgroupsPath === undefined ? `/crio-lxc/${id}` : cgroupsPath;
  const names = (given.startsWith("/") ? given : `/crio-lxc/${given}`)
    .split("/")
    .filter((name) => name !== "" && name !== ".");
  if (names.length === 0) refuse("is the root of the hierarchy");
  if (names.includes("..")) refuse('has ".."');
  const path = `/${names.join("/")}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a line of the LXC configuration must stay one line
  if (/[\x00-\x1f\x7f]|^\s|\s$/.test(path) || path.length > 3000) refuse("cannot be a path of a cgroup");
  return path;
}

function allRoots(facts: CgroupFacts): string[] {
  const unified = facts.unified === undefined ? [] : [facts.unified];
  return [...facts.hierarchies.map(({ mountPoint }) => mountPoint), ...unified];
}
