import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

export type CacheLimits = {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Files whose content is older are pruned. */
  readonly maxAgeMs: number;
  /** Of what is younger, the oldest are pruned until no more than this is left. */
  readonly maxBytes: number;
};

/** Proof of what an archive said last, not a copy of what it has: without it an older state could be passed off as new. */
const KEPT_FOLDER = "releases";

/** Files of `cache/` that nothing should keep any longer, oldest first (docs/formats/repositories.md). */
export function findStaleCache(directory: string, limits: CacheLimits): string[] {
  const files = readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.split("/").includes(KEPT_FOLDER))
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { mtimeMs, size } = lstatSync(path);
      return { path, mtimeMs, size };
    })
    .sort((a, b) => a.mtimeMs - b.mtimeMs || (a.path < b.path ? -1 : 1));
  let bytes = files.reduce((sum, file) => sum + file.size, 0);
  const stale: string[] = [];
  for (const { path, mtimeMs, size } of files) {
    if (limits.now - mtimeMs <= limits.maxAgeMs && bytes <= limits.maxBytes) break;
    stale.push(path);
    bytes -= size;
  }
  return stale;
}
