import { afterAll, beforeAll, expect } from "bun:test";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { Store } from "../../src/store/store.ts";
import { measureStore } from "../../src/store/usage.ts";
import { sharedBytes, supportsReflink } from "../../src/sys/extents.ts";
import { run } from "../../src/sys/process.ts";
import { AtCreateLab } from "../support/at-create-lab.ts";
import { testUnless } from "../support/needs.ts";

/** Blocks that files share, on a filesystem that can: XFS on a loop device. Needs root, xfsprogs and Podman. */
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
  truncateSync(join(work, "disk"), 2048 * MIB);
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

/** Bytes of the filesystem that are taken. */
function taken(): number {
  const { blocks, bfree, bsize } = statfsSync(path());
  return (blocks - bfree) * bsize;
}

/** How an import fills a new store: bytes of its objects, bytes of these that another file has too, and what the disk lost. */
async function importInto(
  root: string,
  lab: AtCreateLab,
  image: string,
): Promise<{ readonly objects: number; readonly shared: number; readonly grown: number }> {
  await run(["sync", "-f", path()]);
  const before = taken();
  await lab.atomfs("import", "--root", root, `containers-storage:${image}`);
  await run(["sync", "-f", path()]);
  const grown = taken() - before;
  let [objects, shared] = [0, 0];
  for (const name of new Bun.Glob("*/*").scanSync({ cwd: join(root, "objects") })) {
    const object = join(root, "objects", name);
    const { size, nlink } = statSync(object);
    // A hard link of the engine's file would do too, but a reflink is what this filesystem is for.
    expect({ object, nlink }).toEqual({ object, nlink: 1 });
    objects += size;
    shared += sharedBytes(object, size);
  }
  return { objects, shared, grown };
}

testUnless(
  missing,
  "an import from the engine's storage shares its blocks, also while a container runs",
  async () => {
    await using lab = await AtCreateLab.open({
      ...{ subnet: "10.89.196.0/24", bridge: "atomfs-create6" },
      parent: path(),
    });
    const image = await lab.pull("web");
    const still = await importInto(join(lab.place, "first"), lab, image);
    await lab.start("one", image);
    const running = await importInto(join(lab.place, "second"), lab, image);
    for (const { objects, shared, grown } of [still, running]) {
      expect(objects).toBeGreaterThan(80 * MIB);
      // A few are made at the import: the package database of the molecule, ld.so.cache.
      expect(shared).toBeGreaterThan(0.95 * objects);
      // Inodes, journal and catalog of the store, and the molecule.
      expect(grown).toBeLessThan(0.35 * objects);
    }
    await lab.remove("one");
  },
  300_000,
);
