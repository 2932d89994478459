import { afterAll, beforeAll, expect } from "bun:test";
import { linkSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ROOT, type TreePath, treePath } from "../../src/core/bytestring.ts";
import type { VerityDigest } from "../../src/core/digest.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, type FileContent, type Inode } from "../../src/core/tree.ts";
import { verityDigest } from "../../src/core/verity.ts";
import { writeErofs } from "../../src/formats/erofs/writer.ts";
import { applyMount } from "../../src/mounts/apply.ts";
import { prepareMolecule, probeStore, runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { ObjectStaging } from "../../src/store/objects.ts";
import { findMount, readMountinfo } from "../../src/sys/mountinfo.ts";
import { measureVerity, supportsVerity } from "../../src/sys/verity.ts";
import { testUnless } from "../support/needs.ts";
import { TemporaryStore } from "../support/temporary-store.ts";

/** A store on a filesystem with fs-verity: the kernel itself refuses an object that is not what its name says. */

const MISSING = supportsVerity("/var/tmp") ? undefined : "the filesystem of /var/tmp has no fs-verity";
const CONTENT = Buffer.alloc(100_000, "the library ");

let temporary: TemporaryStore;
let place = "";

beforeAll(() => {
  temporary = new TemporaryStore();
  place = mkdtempSync("/var/tmp/atomfs-verity-");
});
afterAll(() => {
  rmSync(runDirectoryOf(temporary.root), { recursive: true, force: true });
  rmSync(place, { recursive: true, force: true });
  temporary[Symbol.dispose]();
});

function moleculeWith(content: FileContent): VerityDigest {
  const attributes = { mode: 0o644, uid: 0, gid: 0, mtime: DEFAULT_ROOT.mtime, xattrs: EMPTY_XATTRS };
  const tree = new Map<TreePath, Inode>([
    [ROOT, DEFAULT_ROOT],
    [treePath("/lib.so"), { type: "file", ...attributes, content }],
  ]);
  return temporary.store.putMolecule(writeErofs(tree));
}

function publish(take: (staging: ObjectStaging) => FileContent): VerityDigest {
  using staging = new ObjectStaging(temporary.store.layout);
  const content = take(staging);
  staging.publish();
  return moleculeWith(content);
}

/** The molecule, mounted read-only, and below a writable layer. */
function mounted(molecule: VerityDigest): Mounted {
  const directory = mkdtempSync(join(place, "root-"));
  const at = (name: string): string => {
    mkdirSync(join(directory, name));
    return join(directory, name);
  };
  const { layout } = temporary.store;
  using stack = new DisposableStack();
  const below = stack.use(applyMount(prepareMolecule(layout, molecule, { target: at("below") })));
  const upper = { upperdir: at("upper"), workdir: at("work") };
  const root = stack.use(applyMount(prepareMolecule(layout, molecule, { target: at("root"), upper })));
  const mounts = stack.move();
  return {
    options: findMount(readMountinfo(), below.target)?.superOptions ?? [],
    readers: [below, root].map(
      ({ target }) =>
        () =>
          readFileSync(join(target, "lib.so")),
    ),
    [Symbol.dispose]: () => mounts.dispose(),
  };
}

type Mounted = Disposable & {
  /** As the kernel shows them of the read-only one. */
  readonly options: readonly string[];
  /** Each reads the file, in one of the two. */
  readonly readers: readonly (() => Buffer)[];
};

testUnless(MISSING, "published objects have fs-verity, and overlay asks for it", () => {
  const molecule = publish((staging) => staging.putBytes(CONTENT));
  const digest = verityDigest(CONTENT);
  const object = temporary.store.layout.object(digest);
  expect(probeStore(temporary.store.layout).verity).not.toBe("none");
  expect(measureVerity(object)).toBe(digest);
  expect(() => writeFileSync(object, "other")).toThrow(/EPERM/);
  using root = mounted(molecule);
  expect(root.options).toContain("verity=require");
  for (const read of root.readers) expect(read()).toEqual(CONTENT);
});

testUnless(MISSING, "an object that another file took the place of is not readable", () => {
  const content = Buffer.alloc(50_000, "right ");
  const molecule = publish((staging) => staging.putBytes(content));
  {
    using root = mounted(molecule);
    for (const read of root.readers) expect(read()).toEqual(content);
  }
  const object = temporary.store.layout.object(verityDigest(content));
  writeFileSync(`${object}.new`, Buffer.alloc(50_000, "wrong "));
  renameSync(`${object}.new`, object);
  using root = mounted(molecule);
  for (const read of root.readers) expect(read).toThrow(/EIO/);
});

testUnless(
  MISSING,
  "an engine's own file stays as it is, and its molecule is readable without fs-verity",
  () => {
    const content = Buffer.alloc(60_000, "layer ");
    const file = join(place, "layer-file");
    writeFileSync(file, content, { mode: 0o644 });
    const digest = verityDigest(content);
    const molecule = publish((staging) =>
      staging.adopt(digest, content.length, (name) => {
        linkSync(file, join(staging.directory, name));
        return true;
      }),
    );
    expect(measureVerity(file)).toBe("off");
    expect(dirname(temporary.store.layout.object(digest))).toStartWith(temporary.store.layout.objects);
    using root = mounted(molecule);
    expect(root.options.filter((option) => option.startsWith("verity"))).toEqual([]);
    for (const read of root.readers) expect(read()).toEqual(content);
  },
);
