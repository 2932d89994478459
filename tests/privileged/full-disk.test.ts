import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { run } from "../../src/sys/process.ts";
import { atomfs, startAtomfs } from "../support/atomfs-program.ts";
import { patience } from "../support/slowness.ts";
import { syntheticImages, writeLayout } from "../support/synthetic-images.ts";

let work = "";
let disk = "";
let root = "";

beforeEach(async () => {
  work = mkdtempSync("/var/tmp/atomfs-full-");
  disk = join(work, "disk");
  root = join(disk, "store");
  mkdirSync(disk);
  await run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk]);
  writeLayout(join(work, "images"), syntheticImages());
});
afterEach(async () => {
  await run(["umount", disk]);
  rmSync(work, { recursive: true, force: true });
  rmSync(runDirectoryOf(root), { recursive: true, force: true });
});

function importArguments(tag: string): string[] {
  return ["import", "--no-deploy", `oci:${join(work, "images")}:${tag}`];
}

/** Leaves so many KiB. */
function fillDisk(left: number): void {
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(join(disk, "filler"), Buffer.alloc(bavail * bsize - left * 1024));
}

test(
  "a full disk at any point is a clear error, and nothing is lost",
  async () => {
    const env = { ATOMFS_ROOT: root };
    const codes = new Set<number>();
    const states = new Set<boolean>();
    for (const left of [0, 4, 20, 60, 100, 140, 180, 220, 260, 320, 400]) {
      rmSync(root, { recursive: true, force: true });
      await atomfs(importArguments("web"), env);
      const before = (await atomfs(["images", "--json"], env)).stdout;
      fillDisk(left);
      const { code, stderr } = await startAtomfs(["--json", ...importArguments("legacy")], env).ended;
      codes.add(code);
      if (code !== 0) {
        expect([left, code, stderr]).toEqual([left, 6, expect.stringContaining('"kind":"unsupported"')]);
        expect(stderr).toMatch(/[Dd]isk is full/);
      }
      // Reading and making room work on a full disk. The journal's record may be what took the last block: then all is
      // done but current/.
      const isDone = (await atomfs(["images", "--json"], env)).stdout !== before;
      if (code === 0) expect(isDone).toBe(true);
      states.add(isDone);
      await atomfs(["gc", "--dry-run"], env);
      rmSync(join(disk, "filler"));
      expect((await atomfs(["images", "--json"], env)).stdout !== before).toBe(isDone);
      await atomfs(["fsck"], env);
      await atomfs(["gc"], env);
      expect(readdirSync(join(root, "tmp"))).toEqual([]);
      await atomfs(importArguments("legacy"), env);
      await atomfs(["fsck"], env);
    }
    expect([...codes].sort()).toEqual([0, 6]);
    expect(states.size).toBe(2);
  },
  patience(600_000),
);
