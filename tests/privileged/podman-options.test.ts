import { HOOKS } from "./podman-options/hooks.ts";
import { LIFECYCLE } from "./podman-options/lifecycle.ts";
import { MOUNTS } from "./podman-options/mounts.ts";
import { NAMESPACES } from "./podman-options/namespaces.ts";
import { PROCESS } from "./podman-options/process.ts";
import { RESOURCES } from "./podman-options/resources.ts";
import { SECURITY } from "./podman-options/security.ts";
import { compareSideBySide } from "./podman-options/side-by-side.ts";

/*
 * Options of Podman 4.3 under runc, the control, and under crio-lxc, side by side: what is seen inside of the container, what
 * Podman says and how it ends must be the same. The table is in podman-options/.
 */

const TABLE = {
  namespaces: NAMESPACES,
  security: SECURITY,
  mounts: MOUNTS,
  resources: RESOURCES,
  process: PROCESS,
  lifecycle: LIFECYCLE,
  hooks: HOOKS,
} as const;

// On every machine the same table, and with the same manager: its parents of control groups are paths.
compareSideBySide("Podman's options under runc and crio-lxc", TABLE, {
  cgroupManager: "cgroupfs",
  subnet: "10.89.182.0/24",
  bridge: "atomfs-opt0",
});
