import { afterAll, beforeAll, expect } from "bun:test";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { Store } from "../../src/store/store.ts";
import { measureStore } from "../../src/store/usage.ts";
import { sharedBytes, supportsReflink } from "../../src/sys/extents.ts";
import { run } from "../../src/sys/process.ts";
import { testUnless } from "../support/needs.ts";

/** Blocks that files share, on a filesystem that can: XFS on a loop device. Needs root and xfsprogs. */
const MIB = 1 << 20;

const canMount = readFileSync("/proc/filesystems", "utf8").includes("\txfs\n");
const missing = canMount ? undefined : "this kernel has no XFS";

let work = "";
let mounted = false;
const path = (...names: string[]): string => join(work, "xfs", ...names);

beforeAll(async () => {
  if (missing !== undefined) return;
  work = mkdtempSync("/var/tmp/atomfs-reflink-");
  mkdirSync(path());
  writeFileSync(join(work, "disk"), "");
  truncateSync(join(work, "disk"), 512 * MIB);
  await run(["mkfs.xfs", "-q", join(work, "disk")]);
  await run(["mount", "-o", "loop", join(work, "disk"), path()]);
  mounted = true;
});

afterAll(async () => {
  if (mounted) await run(["umount", path()]);
  if (work !== "") rmSync(work, { recursive: true });
});

function reflinkOf(source: string, target: string): Promise<unknown> {
  return run(["cp", "--reflink=always", source, target]);
}

testUnless(missing, "the filesystem can, and the one below cannot", () => {
  expect(supportsReflink(path())).toBe(true);
  expect(supportsReflink("/dev/shm")).toBe(false);
});

testUnless(missing, "shared bytes are those of blocks that another file has, too", async () => {
  const size = 3 * MIB + 5;
  writeFileSync(path("a"), Buffer.alloc(size, "a"));
  await run(["sync", "-f", path()]);
  expect(sharedBytes(path("a"), size)).toBe(0);
  await reflinkOf(path("a"), path("b"));
  expect(sharedBytes(path("a"), size)).toBe(size);
  expect(sharedBytes(path("b"), size)).toBe(size);
  const fd = openSync(path("b"), "r+");
  writeSync(fd, Buffer.alloc(MIB, "b"), 0, MIB, MIB);
  closeSync(fd);
  await run(["sync", "-f", path()]);
  expect(sharedBytes(path("a"), size)).toBe(size - MIB);
  writeFileSync(path("hole"), "");
  truncateSync(path("hole"), size);
  expect(sharedBytes(path("hole"), size)).toBe(0);
});

testUnless(missing, "df counts an object that is a reflink of an engine's file as the engine's", async () => {
  using store = Store.open(path("store"), { create: true });
  {
    using staging = store.beginObjects();
    for (const letter of ["x", "y"]) staging.putBytes(Buffer.alloc(MIB, letter));
    staging.publish();
  }
  const [object = ""] = [...new Bun.Glob("*/*").scanSync({ cwd: store.layout.objects })];
  await reflinkOf(join(store.layout.objects, object), path("of-the-engine"));
  const objects = measureStore(store).parts.find(({ name }) => name === "objects");
  expect(objects).toEqual({ name: "objects", bytes: 2 * MIB, engineShared: MIB });
});
