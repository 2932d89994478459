import type { Case } from "./cases.ts";
import { compareSideBySide } from "./side-by-side.ts";

/**
 * A group of options of Podman 4.3 under runc, the control, and under crio-lxc, side by side: what is seen inside of the container,
 * what Podman says and how it ends must be the same. A file each, because in a virtual machine one takes half an hour.
 */
export function compareOptions(group: string, cases: readonly Case[]): void {
  // On every machine with the same manager: its parents of control groups are paths.
  compareSideBySide(
    "Podman's options under runc and crio-lxc",
    { [group]: cases },
    { cgroupManager: "cgroupfs", subnet: "10.89.182.0/24", bridge: "atomfs-opt0" },
  );
}
