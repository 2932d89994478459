import { readFileSync } from "node:fs";
import { compareSideBySide } from "./podman-options/side-by-side.ts";
import { SYSTEMD } from "./podman-options/systemd.ts";

/*
 * Podman 4.3 as it is on a machine with systemd and cgroup v2: its `systemd` manager, with runc, the control, and with crio-lxc.
 * Fixes under it are in at-create.test.ts, which has Podman's default manager.
 */

const unless = readFileSync("/proc/1/comm", "utf8") === "systemd\n" ? undefined : "systemd is not PID 1";

compareSideBySide(
  "Podman's systemd manager under runc and crio-lxc",
  { systemd: SYSTEMD },
  { cgroupManager: "systemd", subnet: "10.89.184.0/24", bridge: "atomfs-opt1" },
  unless,
);
