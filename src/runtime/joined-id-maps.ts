import { AtomfsError } from "../core/errors.ts";
import type { IdMapping, RuntimeConfig } from "../formats/oci/runtime-config/types.ts";
import { checkNamespace } from "../sys/namespace.ts";
import { namespaceOf } from "./mount-plan.ts";

/**
 * A config whose user namespace is one that is there already says that namespace's id maps: liblxc wants to know them to become
 * its root, and whatever the file says is not what the kernel does.
 */
export function withJoinedIdMaps(config: RuntimeConfig): RuntimeConfig {
  const path = namespaceOf(config, "user")?.path;
  if (path === undefined) return config;
  checkNamespace(path, "user");
  // A map is shown as seen from the parent of who looks: only a process inside sees the host's ids. A bound namespace has no pid.
  const script = "cat /proc/self/uid_map; echo; cat /proc/self/gid_map";
  const { exitCode, stdout, stderr } = Bun.spawnSync(["nsenter", `--user=${path}`, "sh", "-c", script], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  if (exitCode !== 0) {
    throw new AtomfsError("failed", `Cannot read the id maps of ${path}: ${stderr.toString("utf8").trim()}`);
  }
  const [uids = "", gids = ""] = stdout.toString("latin1").split("\n\n");
  return {
    ...config,
    linux: { ...config.linux, uidMappings: parseIdMap(uids), gidMappings: parseIdMap(gids) },
  };
}

/** user_namespaces(7): lines of three numbers. */
export function parseIdMap(text: string): IdMapping[] {
  return [...text.matchAll(/^\s*([0-9]+)\s+([0-9]+)\s+([0-9]+)\s*$/gm)].map(([, inside, outside, size]) => ({
    containerId: Number(inside),
    hostId: Number(outside),
    size: Number(size),
  }));
}
