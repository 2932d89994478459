import { fromText } from "../core/bytestring.ts";
import { refuse } from "../formats/oci/runtime-config/reader.ts";
import type { NamespaceType, RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import { add, type Draft, namespaceOf } from "./mount-plan.ts";

/** Of the IPC namespace: ipc/ipc_sysctl.c. */
const IPC: ReadonlySet<string> = new Set([
  "kernel/msgmax",
  "kernel/msgmnb",
  "kernel/msgmni",
  "kernel/sem",
  "kernel/shmall",
  "kernel/shmmax",
  "kernel/shmmni",
  "kernel/shm_rmid_forced",
]);

/**
 * "linux.sysctl": only values that belong to a namespace which the container does not share with the host.
 * @param hostNamespaces that the file gives by path and that are the host's nevertheless
 * @throws AtomfsError "bad-data" for every other key
 */
export function planSysctls(
  config: RuntimeConfig,
  hostNamespaces: ReadonlySet<NamespaceType>,
  draft: Draft,
): void {
  for (const [name, value] of config.linux.sysctl) {
    const field = `linux.sysctl.${name.slice(0, 100)}`;
    const key = sysctlPath(name);
    const names = key.split("/");
    if (names.some((part) => part === "" || part === "." || part === ".."))
      refuse(field, "is no name of a sysctl");
    if (value.includes("\n")) refuse(field, "has a value of more than one line");
    const needed = namespaceFor(key);
    if (needed === undefined) refuse(field, "belongs to no namespace: it would change the host");
    if (key === "kernel/hostname") refuse(field, "is set by hostname");
    if (namespaceOf(config, needed) === undefined)
      refuse(field, `needs a ${needed} namespace of its own: it would change the host`);
    if (hostNamespaces.has(needed))
      refuse(field, `is not allowed in the host's ${needed} namespace: it would change the host`);
    add(draft, { kind: "write-sysctl", key: fromText(key), value: fromText(value) });
  }
}

function namespaceFor(key: string): "ipc" | "network" | "uts" | undefined {
  if (IPC.has(key) || key.startsWith("fs/mqueue/")) return "ipc";
  if (key.startsWith("net/")) return "network";
  if (key === "kernel/domainname" || key === "kernel/hostname") return "uts";
  return undefined;
}

/** sysctl(8): whichever of "." and "/" comes first separates, the other one is part of a name (net/ipv4/conf/eth0.100/...). */
function sysctlPath(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  if (first === "/") return name;
  return name.replace(/[./]/g, (separator) => (separator === "." ? "/" : "."));
}
