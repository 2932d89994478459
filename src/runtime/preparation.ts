import { constants, mkdirSync, openSync, rmdirSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { displayText, toBytes } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { Fd } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";
import { makeNode } from "../sys/files.ts";
import {
  changeMount,
  cloneMountTree,
  MOUNT_ATTR,
  makeMountsSlave,
  mountByOptions,
  setMountAttributes,
  unmountAt,
} from "../sys/mount.ts";
import { connectUnix } from "../sys/socket.ts";
import { makeUserNamespace } from "../sys/user-namespace.ts";
import type { CgroupPlan } from "./cgroup-plan.ts";
import { applyWrites, enableControllers, giveCgroup, inheritedCpuset, removeCgroups } from "./cgroups.ts";
import type { DescriptorRequest, LaunchPlan, MountIdMap } from "./plan.ts";
import type { PreparedCgroups, PreparedLaunch } from "./prepared-launch.ts";
import { encodeProgram } from "./program-codec.ts";
import { FILES } from "./state.ts";
import { type StartedScope, startScope } from "./systemd-scope.ts";

/** What a plan leaves to the launcher. */
export type Places = {
  /** The container's state directory. */
  readonly directory: string;
  /** Of the caller, a path; of crio-lxc itself. */
  readonly consoleSocket: string | Fd | undefined;
  /** Path of the player's executable. */
  readonly player: string;
};

/** Makes a plan ready to be carried out: encodes what is encoded, says how what must be opened is opened. */
export function prepareLaunch(plan: LaunchPlan, places: Places): PreparedLaunch {
  const { state } = plan;
  const cgroups = prepareCgroups(plan.cgroups, plan.cgroupOwner);
  const lines = [...plan.lxcConfig, ...cgroups.overrides];
  return {
    lxcConfig: lines.map(([key, value]) => configLine(key, value)).join(""),
    program: encodeProgram(plan.program),
    player: places.player,
    openDescriptors: (stack) =>
      plan.descriptors.map((request, i) =>
        stack.use(isLate(request) ? placeholder() : openDescriptor(request, i, places)),
      ),
    openLateDescriptors: (stack) =>
      plan.descriptors.flatMap((request, index) =>
        isLate(request) ? [{ index, fd: stack.use(openDescriptor(request, index, places)) }] : [],
      ),
    inUserNamespace: plan.inUserNamespace,
    rootfs: state.rootfs,
    ociVersion: state.ociVersion,
    hasProcess: state.hasProcess,
    annotations: Object.fromEntries(state.annotations),
    cgroups,
    hooks: plan.hooks,
    warnings: [...plan.warnings, ...plan.cgroups.warnings],
  };
}

/** liblxc's format has one line a value and no quotes. */
function configLine(key: string, value: string): string {
  if (/[\n\r\0]/.test(key + value)) {
    throw new AtomfsError("bad-data", `${key} cannot hold a line break: ${JSON.stringify(value)}`);
  }
  return `${key} = ${value}\n`;
}

/**
 * liblxc makes the container's directories, because what it starts with in them is what a new cgroup namespace shows, and
 * because on v2 it hangs the device rules there.
 */
function prepareCgroups(
  plan: CgroupPlan,
  owner: number | undefined,
): PreparedCgroups & { readonly overrides: LaunchPlan["lxcConfig"] } {
  const roots = plan.directories.map((directory) => directory.slice(0, -plan.path.length));
  const inEach = (path: string): string[] => roots.map((root) => `${root}/${path}`);
  const pivot = new Map(plan.lxcConfig).get("lxc.cgroup.dir.monitor.pivot");
  const { systemd } = plan;
  let started: StartedScope | undefined;
  return {
    path: plan.path,
    directories: plan.directories,
    ofMonitor: [...inEach(plan.monitorPath.slice(1)), ...(pivot === undefined ? [] : inEach(pivot))],
    systemdUnit: systemd?.scope.unit,
    // liblxc fills only what it makes above the container's own.
    overrides: inheritedCpuset(plan.directories).map(([file, value]) => [`lxc.cgroup.${file}`, value]),
    beforeLaunch() {
      if (systemd !== undefined) started = startScope(systemd.scope, systemd.unified);
      // liblxc refuses a directory that exists; an empty one is a left-over or the caller's kindness.
      removeCgroups(plan.directories);
      for (const root of roots) enableControllers(root, plan.path, plan);
    },
    whileWaiting() {
      started?.release();
      const warnings = applyWrites(plan.writes);
      if (owner !== undefined) for (const directory of plan.directories) giveCgroup(directory, owner);
      return warnings;
    },
  };
}

/** What is there only when init is. */
function isLate({ kind }: DescriptorRequest): boolean {
  return kind === "cgroup-directory" || kind === "runtime-tree";
}

/** Every descriptor of a program is open from its start. */
function placeholder(): Fd {
  return new Fd(openSync("/dev/null", constants.O_RDONLY));
}

/** @param index names a file that is there for a moment */
export function openDescriptor(request: DescriptorRequest, index: number, places: Places): Fd {
  switch (request.kind) {
    case "bind-source":
    case "cgroup-directory": {
      using stack = new DisposableStack();
      const mount = stack.use(cloneMountTree(toBytes(request.path), request.recursive));
      setMountAttributes(mount, request.attributes);
      if (request.kind === "bind-source" && request.idMap !== undefined)
        mapIds(mount, displayText(request.path), request.idMap);
      stack.move();
      return mount;
    }
    case "runtime-tree": {
      using stack = new DisposableStack();
      const mount = stack.use(cloneMountTree("/", true));
      makeMountsSlave(mount);
      stack.move();
      return mount;
    }
    case "device-node":
      return openDevice(request, join(places.directory, `node-${index}`));
    case "filesystem":
      return mountDetached(request, join(places.directory, `${FILES.hostMount}${index}`));
    case "namespace":
      return new Fd(openSync(request.path, constants.O_RDONLY));
    case "inherited":
      return new Fd(request.number);
    case "console-socket":
      if (places.consoleSocket === undefined) {
        throw new AtomfsError("usage", "a container with a terminal needs --console-socket");
      }
      if (places.consoleSocket instanceof Fd) return places.consoleSocket;
      return connectUnix(resolve(places.consoleSocket), "stream");
  }
}

function mapIds(mount: Fd, path: string, idMap: MountIdMap): void {
  using idmap = makeUserNamespace(idMap);
  try {
    changeMount(mount, { idmap, recursive: idMap.recursive });
  } catch (cause) {
    if (!hasCode(cause, "EINVAL", "EPERM")) throw cause;
    throw new AtomfsError("unsupported", `Cannot map the ids of ${path}: its filesystem cannot do that`, {
      cause,
    });
  }
}

/**
 * By mount(2): the values of fsconfig(2) have 255 bytes at most, and paths of layers are longer.
 * @param point is there only for a moment; `delete` takes it away if this process is killed then
 */
function mountDetached(
  { type, source, options, attributes }: Extract<DescriptorRequest, { readonly kind: "filesystem" }>,
  point: string,
): Fd {
  const data = options.map(([key, value]) => (value === "" ? key : `${key}=${value}`)).join(",");
  using stack = new DisposableStack();
  mkdirSync(point, { mode: 0o700 });
  stack.defer(() => rmdirSync(point));
  mountByOptions(type, source, point, 0, Buffer.from(data));
  stack.defer(() => unmountAt(point, { detach: true }));
  using result = new DisposableStack();
  const mount = result.use(cloneMountTree(point, false));
  setMountAttributes(mount, attributes);
  result.move();
  return mount;
}

type DeviceRequest = Extract<DescriptorRequest, { readonly kind: "device-node" }>;

function openDevice(request: DeviceRequest, temporary: string): Fd {
  const path: Buffer = toBytes(request.path);
  if (isDevice(path, request)) return cloneMountTree(path, false);
  makeNode(Buffer.from(temporary), request.type, [request.major, request.minor]);
  try {
    using stack = new DisposableStack();
    const mount = stack.use(cloneMountTree(temporary, false));
    // /run refuses devices.
    setMountAttributes(mount, { set: 0, clear: MOUNT_ATTR.nodev, recursive: false });
    stack.move();
    return mount;
  } finally {
    rmSync(temporary);
  }
}

function isDevice(path: Buffer, { type, major, minor }: DeviceRequest): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !(type === "char" ? stat.isCharacterDevice() : stat.isBlockDevice()))
    return false;
  return deviceMajor(stat.rdev) === major && deviceMinor(stat.rdev) === minor;
}

/** glibc's encoding of dev_t. */
function deviceMajor(device: number): number {
  return Number((BigInt(device) >> 8n) & 0xfffn);
}

function deviceMinor(device: number): number {
  const bits = BigInt(device);
  return Number((bits & 0xffn) | ((bits >> 12n) & 0xfff00n));
}
