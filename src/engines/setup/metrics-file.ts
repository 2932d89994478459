import { constants, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openNoFollow } from "../../sys/fd.ts";
import { hasCode } from "../../sys/ffi.ts";
import type { SetupAction, SetupPlace } from "./install.ts";
import { METRICS_FILE } from "./units.ts";

/** How every file of `atomfs metrics` begins. */
const BEGINNING = "# HELP atomfs_build_info ";

/** Takes away what the installed timer wrote for node_exporter, which would go on telling what was true once. */
export function removeMetrics({ root, dryRun }: SetupPlace): SetupAction[] {
  const path = join(root, METRICS_FILE);
  if (!isOurs(path)) return [];
  if (!dryRun) rmSync(path);
  return [{ path: METRICS_FILE, action: "remove" }];
}

function isOurs(path: string): boolean {
  try {
    using file = openNoFollow(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const bytes = Buffer.alloc(BEGINNING.length);
    return readSync(file.number, bytes, 0, bytes.length, 0) > 0 && bytes.toString("latin1") === BEGINNING;
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP", "EISDIR", "ESPIPE")) return false;
    throw error;
  }
}
