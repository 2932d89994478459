import { AtomfsError } from "../core/errors.ts";
import { refuse } from "../formats/oci/runtime-config/reader.ts";
import type { IdMapping, NamespaceType, RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import type { HostFacts } from "./host-facts.ts";
import { isNew, namespaceOf } from "./mount-plan.ts";

type Line = readonly [key: string, value: string];

/** liblxc's names: src/lxc/namespace.c. */
const LXC_NAMES: { readonly [type in NamespaceType]: string } = {
  pid: "pid",
  network: "net",
  mount: "mnt",
  ipc: "ipc",
  uts: "uts",
  user: "user",
  cgroup: "cgroup",
  time: "time",
};

/**
 * The few things that liblxc does here: namespaces, id maps, the root, cgroups. All else is switched off, because liblxc does it
 * at another time, or otherwise than the specification says.
 * @param more lines of other plans
 * @throws AtomfsError "bad-data" for values that a line cannot hold, and for id maps that do not go with the namespaces
 */
export function planLxcConfig(
  config: RuntimeConfig,
  host: HostFacts,
  { rootfs, ownNamespaces }: { readonly rootfs: string; readonly ownNamespaces: ReadonlySet<NamespaceType> },
  more: readonly Line[],
): Line[] {
  const lines: Line[] = [
    ["lxc.rootfs.path", `dir:${rootfs}`],
    ["lxc.rootfs.managed", "0"],
    ...namespaceLines(config, ownNamespaces),
    ...(ownNamespaces.has("user") ? [] : idMapLines(config)),
    ...more,
    // The monitor's end must not be init's.
    ["lxc.monitor.signal.pdeath", "0"],
    ["lxc.console.path", "none"],
    ["lxc.tty.max", "0"],
    ["lxc.pty.max", "0"],
    ["lxc.autodev", "0"],
    ["lxc.keyring.session", "0"],
    // Else liblxc generates a profile of its own, or fails.
    ...(host.apparmor ? [["lxc.apparmor.profile", "unconfined"] as const] : []),
  ];
  for (const [key, value] of lines) checkValue(key, value);
  return lines;
}

function namespaceLines(config: RuntimeConfig, own: ReadonlySet<NamespaceType>): Line[] {
  const { namespaces } = config.linux;
  const fresh = namespaces.filter(({ path }) => path === undefined).map(({ type }) => LXC_NAMES[type]);
  const joined = namespaces.flatMap(({ type, path }) =>
    path === undefined || type === "cgroup" || own.has(type)
      ? []
      : [[`lxc.namespace.share.${LXC_NAMES[type]}`, path] as const],
  );
  const loopback: Line[] = [
    ["lxc.net.0.type", "empty"],
    ["lxc.net.0.flags", "up"],
  ];
  // In the runtime's own, liblxc would change the host's root.
  if (namespaceOf(config, "mount") === undefined) fresh.push(LXC_NAMES.mount);
  return [["lxc.namespace.clone", fresh.join(" ")], ...joined, ...(isNew(config, "network") ? loopback : [])];
}

function idMapLines(config: RuntimeConfig): Line[] {
  const { uidMappings, gidMappings } = config.linux;
  if (uidMappings.length === 0 && gidMappings.length === 0) {
    if (isNew(config, "user"))
      refuse("linux.uidMappings", "and gidMappings are empty, but there is a new user namespace");
    return [];
  }
  if (namespaceOf(config, "user") === undefined)
    refuse("linux.uidMappings", "or gidMappings are set, but there is no user namespace");
  if (uidMappings.length === 0 || gidMappings.length === 0)
    refuse(
      uidMappings.length === 0 ? "linux.uidMappings" : "linux.gidMappings",
      "is empty, and the other is not",
    );
  // For one that is joined, they are what it has: liblxc writes none then, but becomes its root.
  const line = (kind: "u" | "g", { containerId, hostId, size }: IdMapping): Line => [
    "lxc.idmap",
    `${kind} ${containerId} ${hostId} ${size}`,
  ];
  return [...uidMappings.map((map) => line("u", map)), ...gidMappings.map((map) => line("g", map))];
}

/** liblxc takes a line for a setting, cuts white space at both ends of a value and quotes around it. */
function checkValue(key: string, value: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may end a line or a string
  if (/[\x00-\x1f\x7f]/.test(value) || value !== value.trim() || /^["']/.test(value)) {
    const shown = JSON.stringify(value.slice(0, 200));
    throw new AtomfsError("bad-data", `Cannot use config.json: ${shown} cannot be the value of ${key}`);
  }
}
