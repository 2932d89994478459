import { fromText } from "../core/bytestring.ts";
import type { DeviceConfig, RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import { parseMountOptions } from "./mount-options.ts";
import { add, cleanDestinations, type Draft, namespaceOf, request } from "./mount-plan.ts";

/** config-linux.md, "Default Devices". */
const DEFAULTS: readonly DeviceConfig[] = (
  [
    ["null", 1, 3],
    ["zero", 1, 5],
    ["full", 1, 7],
    ["random", 1, 8],
    ["urandom", 1, 9],
    ["tty", 5, 0],
  ] as const
).map(([name, major, minor]) => ({
  type: "char",
  path: `/dev/${name}`,
  major,
  minor,
  mode: 0o666,
  uid: 0,
  gid: 0,
}));

/** runtime-linux.md, "Dev symbolic links". */
const SYMLINKS: readonly (readonly [path: string, target: string])[] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
];

/** False if the file brings a /dev of its own, which is then left as it is: what runc does. */
export function ownsDev(config: RuntimeConfig): boolean {
  const paths = cleanDestinations(config);
  return !config.mounts.some(
    (mount, i) => paths[i] === "/dev" && parseMountOptions(mount, `mounts[${i}]`).bind !== "no",
  );
}

/** The nodes that every container has, those of "linux.devices", and links. After the mounts, before anything is read-only. */
export function planDevices(config: RuntimeConfig, draft: Draft): void {
  if (!ownsDev(config)) return;
  const listed = new Set(config.linux.devices.map(({ path }) => path));
  const defaults = DEFAULTS.filter(({ path }) => !listed.has(path));
  const inUserNamespace = namespaceOf(config, "user") !== undefined;
  for (const device of [...defaults, ...config.linux.devices]) {
    // The container's own instance of devpts has it; the host's node would lead to the host's.
    if (device.path === "/dev/ptmx") continue;
    planNode(device, inUserNamespace, draft);
  }
  add(draft, { kind: "make-symlink", path: fromText("/dev/ptmx"), target: fromText("pts/ptmx") });
  for (const [path, target] of SYMLINKS)
    add(draft, { kind: "make-symlink", path: fromText(path), target: fromText(target) }, "warn");
}

function planNode(device: DeviceConfig, inUserNamespace: boolean, draft: Draft): void {
  const path = fromText(device.path);
  const { type, major, minor, mode, uid, gid } = device;
  // A user namespace may not make device nodes.
  if (inUserNamespace && type !== "fifo") {
    const mount = request(draft, { kind: "device-node", path, type, major, minor });
    add(draft, { kind: "attach-mount", mount, path, create: "file" });
    add(draft, { kind: "set-propagation", path, propagation: "private", recursive: false });
    return;
  }
  add(draft, { kind: "make-node", path, type, mode, major, minor, uid, gid });
}
