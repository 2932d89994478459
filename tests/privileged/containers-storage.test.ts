import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { buildDemoImages, DEFAULT_CACHE_DIR, type DemoImage } from "../../scripts/demo/images.ts";
import { writePodmanConfig } from "../../scripts/demo/podman-config.ts";
import { removeStore } from "../../scripts/demo/workplace.ts";
import { type ByteString, displayText, fromText, treePath } from "../../src/core/bytestring.ts";
import type { VerityDigest } from "../../src/core/digest.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import type { Tree } from "../../src/core/tree.ts";
import { dropReleasedImages } from "../../src/engines/drop-images.ts";
import { readEngineHoldings } from "../../src/engines/held-images.ts";
import {
  importAllFromContainersStorage,
  importFromContainersStorage,
} from "../../src/fixing/import-containers-storage.ts";
import { type Imported, importImage } from "../../src/fixing/import-image.ts";
import {
  type ContainersStorage,
  openContainersStorage,
  readStorageConf,
} from "../../src/sources/containers-storage.ts";
import { type FlattenedLayers, flattenLayers } from "../../src/sources/flatten.ts";
import { openOciLayout } from "../../src/sources/oci-layout.ts";
import { openStoredLayer } from "../../src/sources/stored-layer.ts";
import { AdoptingSink, ChunkOrigins } from "../../src/store/adopt.ts";
import { checkStore } from "../../src/store/fsck.ts";
import { collectGarbage } from "../../src/store/gc.ts";
import { Store } from "../../src/store/store.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";
import { readXattrs, setXattr } from "../../src/sys/xattr.ts";
import { ATOMFS } from "../support/atomfs-program.ts";
import { tarDirectory, writeOciLayout } from "../support/oci-image.ts";
import { patience } from "../support/slowness.ts";
import { treeDifferences } from "../support/tree-differences.ts";

/** Images in a storage of Podman's own. Needs root, podman, runc, and the Debian archive for the demo's images. */
const LIMIT_MS = patience(300_000);
const NOW = { command: "test", now: new Date("2026-01-02T03:04:05Z") };

// In lower case: podman makes a name of the path that it pulls from.
const work = `/var/tmp/atomfs-cstorage-${crypto.randomUUID()}`;
const env: Record<string, string> = {};

async function podman(...args: string[]): Promise<string> {
  return (await run(["podman", ...args], { env: { ...process.env, ...env } })).stdout.toString().trim();
}

function storage(): ContainersStorage {
  return openContainersStorage(readStorageConf(env));
}

let stores = 0;
function newStore(directory: string = work): Store {
  stores += 1;
  return Store.open(join(directory, `store-${stores}`), { create: true });
}

function importHeld(store: Store, name: string): Promise<Imported> {
  const held = storage();
  return importFromContainersStorage(store, held, held.findImage(name), NOW);
}

/** What an import must leave as it is: everything but the times of reading and linking. */
function snapshot(directory: string): Map<string, string> {
  const seen = new Map<string, string>();
  const visit = (path: Buffer): void => {
    const stat = lstatSync(path, { bigint: true });
    const { mode, uid, gid, size, mtimeNs, ino, rdev } = stat;
    const xattrs = [...readXattrs(path)].sort().join();
    seen.set(path.toString("latin1"), [mode, uid, gid, size, mtimeNs, ino, rdev, xattrs].join(" "));
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(path, { encoding: "buffer" }))
      visit(Buffer.concat([path, Buffer.from("/"), name]));
  };
  visit(Buffer.from(directory));
  return seen;
}

type ObjectFile = {
  readonly path: string;
  readonly nlink: number;
  readonly ino: number;
  readonly size: number;
};

function objectsOf(store: Store): ObjectFile[] {
  return readdirSync(store.layout.objects, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { nlink, ino, size } = lstatSync(path);
      return { path, nlink, ino, size };
    });
}

function inodesBelow(directory: string): Set<number> {
  const inodes = new Set<number>();
  for (const line of snapshot(directory).values()) inodes.add(Number(line.split(" ")[5]));
  return inodes;
}

/** Bytes on disk that are nobody else's. */
function ownBytes(directory: string): number {
  let total = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const stat = lstatSync(join(entry.parentPath, entry.name));
    if (stat.isDirectory() || stat.nlink === 1) total += stat.blocks * 512;
  }
  return total;
}

const graph = join(work, "podman/graph");
const layersDirectory = join(graph, "overlay");

beforeAll(async () => {
  mkdirSync(work, { mode: 0o700 });
  Object.assign(
    env,
    await writePodmanConfig({
      directory: join(work, "podman"),
      imageStores: [],
      runtime: "runc",
      subnet: "10.89.216.0/24",
      bridge: "atomfs-test2",
    }),
  );
}, LIMIT_MS);

afterAll(async () => {
  await podman("rm", "--all", "--force", "--time", "0").catch(() => undefined);
  for (const mount of readMountinfo()
    .filter(({ target }) => target.startsWith(work))
    .reverse()) {
    await run(["umount", "--lazy", mount.target]).catch(() => undefined);
  }
  rmSync(work, { recursive: true, force: true });
}, LIMIT_MS);

describe("the demo's images", () => {
  const name = "localhost/demo/feed:1";
  let feed: DemoImage;
  let store: Store;
  let imported: Imported;

  beforeAll(async () => {
    ({ feed } = await buildDemoImages({ cacheDir: DEFAULT_CACHE_DIR, log: () => undefined }));
    await podman("tag", await podman("pull", "--quiet", feed.source), name);
    store = newStore();
  }, LIMIT_MS);

  test(
    "one that Podman holds becomes the molecule that its OCI layout becomes, without a copy of its files",
    async () => {
      const before = snapshot(layersDirectory);
      imported = await importHeld(store, "demo/feed:1");
      expect(snapshot(layersDirectory)).toEqual(before);

      const objects = objectsOf(store);
      const engines = inodesBelow(layersDirectory);
      expect(objects.length).toBeGreaterThan(3000);
      expect(objects.filter(({ ino, nlink }) => nlink < 2 || !engines.has(ino))).toEqual([]);
      expect(imported.adoptedBytes).toBe(imported.newBytes);
      expect(imported.newBytes).toBeGreaterThan(100e6);

      using other = newStore();
      const reference = await importImage(other, await openOciLayout(feed.layout, feed.tag), {
        ...NOW,
        names: [name],
        source: feed.source,
      });
      expect(imported.settled.evaluation.molecule).toBe(reference.settled.evaluation.molecule);
      expect(imported.image.atoms).toEqual(reference.image.atoms);
      expect(imported.image.manifest).toBe(reference.image.manifest);
      expect([...store.state.names.keys()]).toContain(name);
      // What is left are atoms, molecule, catalog and directories.
      const saved = ownBytes(other.layout.root) - ownBytes(store.layout.root);
      expect(saved).toBeGreaterThan(imported.newBytes * 0.98);
    },
    LIMIT_MS,
  );

  test(
    "while a container runs, when the engine's layers are on a bind mount",
    async () => {
      await podman("run", "--detach", "--name", "busy", "--network", "none", name, "sleep", "1000000");
      expect(readMountinfo().some(({ target }) => target === layersDirectory)).toBe(true);
      using other = newStore();
      const again = await importHeld(other, name);
      expect(again.settled.evaluation.molecule).toBe(imported.settled.evaluation.molecule);
      expect(again.adoptedBytes).toBe(again.newBytes);
      expect(objectsOf(other).filter(({ nlink }) => nlink < 3)).toEqual([]);
      const id = await podman("inspect", "--format", "{{.Id}}", "busy");
      expect(storage().imageOfContainer(id)?.configDigest).toBe(imported.image.config);
      expect(await podman("exec", "busy", "cat", "/proc/1/comm")).toBe("sleep");
    },
    LIMIT_MS,
  );

  test(
    "what podman commit made of a container that removed, replaced and added files",
    async () => {
      const script =
        "rm -r /opt/feed /etc/hostname /usr/share/doc; mkdir /opt/feed /usr/share/doc; seq 100 > /opt/feed/new; chmod 700 /etc/alternatives";
      await podman("exec", "--user", "0", "busy", "sh", "-c", script);
      await podman("commit", "--quiet", "busy", "localhost/demo/committed:1");
      using other = newStore();
      const committed = await importHeld(other, "demo/committed:1");
      expect(committed.image.config).not.toBe(imported.image.config);
      expect(committed.adoptedBytes).toBe(committed.newBytes);

      const saved = join(work, "committed");
      await podman("save", "--quiet", "--format", "oci-dir", "--output", saved, "localhost/demo/committed:1");
      using reference = newStore();
      const source = await openOciLayout(saved);
      const wanted = await importImage(reference, source, { ...NOW, names: [name], source: saved });
      expect(committed.image.config).toBe(wanted.image.config);
      expect(committed.settled.evaluation.molecule).toBe(wanted.settled.evaluation.molecule);
    },
    LIMIT_MS,
  );

  test(
    "to a store on another filesystem the files are copied",
    async () => {
      const elsewhere = mkdtempSync("/dev/shm/atomfs-cstorage-");
      try {
        using other = newStore(elsewhere);
        const again = await importHeld(other, name);
        expect(again.settled.evaluation.molecule).toBe(imported.settled.evaluation.molecule);
        expect(again.adoptedBytes).toBe(0);
        expect(objectsOf(other).filter(({ nlink }) => nlink !== 1)).toEqual([]);
      } finally {
        rmSync(elsewhere, { recursive: true });
      }
    },
    LIMIT_MS,
  );

  test(
    "objects stay when the engine removes the image, and only gc removes ours",
    async () => {
      const released = (graceMs: number): readonly string[] =>
        dropReleasedImages(
          store,
          { ...NOW, graceMs, dryRun: false },
          readEngineHoldings(store.layout, [], readStorageConf(env)),
        ).expired;
      expect(released(0)).toEqual([]);
      await podman("rm", "--all", "--force", "--time", "0");
      expect(released(0)).toEqual([]);
      await podman("rmi", "--all", "--force");
      expect(readdirSync(layersDirectory).filter((entry) => /^[0-9a-f]{64}$/.test(entry))).toEqual([]);
      expect((await checkStore(store, { readObjects: true })).problems).toEqual([]);
      expect(objectsOf(store).every(({ nlink }) => nlink >= 1)).toBe(true);
      // Files that a later layer put others over.
      expect(collectGarbage(store, new Set(), { dryRun: false }).paths.length).toBeLessThan(10);
      expect((await checkStore(store, { readObjects: true })).problems).toEqual([]);
      expect(released(1)).toEqual([]);
      expect(released(0)).toEqual([imported.image.config]);
      collectGarbage(store, new Set(), { dryRun: false });
      expect(objectsOf(store)).toEqual([]);
      store[Symbol.dispose]();
    },
    LIMIT_MS,
  );
});

/** Everything that a layer can hold and that c/storage unpacks in its own way. */
describe("a made image", () => {
  const name = "localhost/made:1";
  const layout = join(work, "made-layout");
  let config = "";

  function file(root: string, path: string, bytes: string | Uint8Array, mode = 0o644): void {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), bytes);
    chmodSync(join(root, path), mode);
    utimesSync(join(root, path), 1_700_000_000.25, 1_700_000_000.25);
  }

  async function makeLayers(): Promise<string[]> {
    const roots = [1, 2, 3].map((n) => join(work, `made-${n}`));
    const [one = "", two = "", three = ""] = roots;
    for (const root of roots) mkdirSync(root);
    for (const path of [
      "gone",
      "etc/keep",
      "opaque/lower",
      "opaque/deep/lower",
      "dir-to-file/x",
      "usr/lib/a",
    ])
      file(one, path, `${path}\n`.repeat(20));
    for (const size of [0, 1, 64, 65, 4096, 1024 * 1024, 3 * 1024 * 1024 + 7])
      file(one, `sizes/${size}`, Buffer.alloc(size, `${size}.`));
    file(one, "file-to-dir", "x");
    file(one, "bin/tool", "tool".repeat(50), 0o4755);
    linkSync(join(one, "bin/tool"), join(one, "bin/link"));
    symlinkSync("usr/lib", join(one, "lib"));
    symlinkSync("no\nwhere", join(one, "dangling"));
    file(one, "labelled", "labelled".repeat(20));
    setXattr(join(one, "labelled"), fromText("user.note"), fromText("yes"));
    setXattr(
      join(one, "bin/tool"),
      fromText("security.capability"),
      "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0" as ByteString,
    );
    setXattr(join(one, "etc"), fromText("user.directory"), fromText("too"));
    writeFileSync(Buffer.concat([Buffer.from(`${one}/`), Buffer.from([0x62, 0xff])]), "bytes".repeat(30));
    chownSync(join(one, "etc/keep"), 1234, 70_000);
    await run(["mkfifo", join(one, "fifo")]);
    await run(["mknod", join(one, "null"), "c", "1", "3"]);
    await run(["mknod", join(one, "disk"), "b", "8", "300"]);

    file(two, ".wh.gone", "");
    file(two, "opaque/.wh..wh..opq", "");
    file(two, "opaque/upper", "upper".repeat(30));
    file(two, "dir-to-file", "now a file".repeat(10));
    file(two, "file-to-dir/inside", "inside".repeat(20));
    file(two, "sizes/.wh.65", "");

    file(three, "deep/er/.wh.nothing", "");
    file(three, "gone", "back again".repeat(20));
    file(three, "etc/keep", "changed".repeat(20));
    const tars = roots.map((root) => `${root}.tar`);
    for (const [i, root] of roots.entries()) await tarDirectory(root, tars[i] ?? "");
    // As many builders write them: without entries for the root, and for directories that lower layers have.
    await run(["tar", "--delete", "--file", tars[2] ?? "", "./etc"]);
    await run(["tar", "--append", "--numeric-owner", "--file", tars[2] ?? "", "-C", three, "./etc/keep"]);
    return tars;
  }

  beforeAll(async () => {
    writeOciLayout(layout, await makeLayers());
    config = await podman("pull", "--quiet", `oci:${layout}:test`);
    await podman("tag", config, name);
  }, LIMIT_MS);

  /** The tree that a layer reader makes, without an import. */
  async function heldTree(held: ContainersStorage, withTarSplit: boolean): Promise<FlattenedLayers> {
    using store = newStore();
    using staging = store.beginObjects();
    const origins = new ChunkOrigins();
    const { layers } = held.openImage(held.findImage(name));
    return await flattenLayers(
      layers.map((layer) =>
        openStoredLayer(withTarSplit ? layer : { ...layer, tarSplit: undefined }, staging, origins),
      ),
      new AdoptingSink(staging, origins),
    );
  }

  async function layoutTree(): Promise<Tree> {
    using store = newStore();
    using staging = store.beginObjects();
    return (await flattenLayers((await openOciLayout(layout)).layers, staging)).tree;
  }

  test("by its tar-splits is exactly the tree of its tars", async () => {
    const { tree, layerOf } = await heldTree(storage(), true);
    expect(treeDifferences(tree, await layoutTree())).toEqual([]);
    expect(tree.get(treePath("bin/tool"))).toBe(tree.get(treePath("bin/link")) as never);
    expect(tree.has(treePath("sizes/65"))).toBe(false);
    expect(layerOf.get(treePath("gone"))).toBe(2);
  });

  test("by its directories alone it lacks only what c/storage does not keep in them", async () => {
    const { tree } = await heldTree(storage(), false);
    const found = treeDifferences(tree, await layoutTree()).map(
      ({ path, fact }) => `${displayText(path) || "/"} ${fact}`,
    );
    // Podman 4.3 makes a layer's root itself, whatever its tar says. Layer 3 has no entry for /etc: c/storage makes
    // one, which hides what layer 1 says of it.
    expect(found.sort()).toEqual(["/ directory mtime", "/ mode", "/etc directory mtime", "/etc xattrs"]);
  });

  test("an engine's file that was changed is not taken for the image's", async () => {
    const held = storage();
    const image = held.findImage(name);
    const directory = held.openImage(image).layers[1]?.directory ?? "";
    using store = newStore();
    chmodSync(join(directory, "opaque/upper"), 0o600);
    expect((await importHeld(store, name)).isNew).toBe(true);

    appendFileSync(join(directory, "opaque/upper"), "x");
    using other = newStore();
    const all = await importAllFromContainersStorage(other, [storage()], NOW);
    expect(all.imported).toEqual([]);
    expect(all.failed.map(({ error }) => error.message).join()).toContain("opaque/upper");

    writeFileSync(join(directory, "opaque/upper"), "UPPER".repeat(30));
    const changed = await importHeld(other, name).catch((error: unknown) => error);
    expect(changed).toBeInstanceOf(AtomfsError);
    expect(changed).toMatchObject({ kind: "untrusted" });
    expect(other.state.images.size).toBe(0);

    writeFileSync(join(directory, "opaque/upper"), "upper".repeat(30));
    const mended = await importAllFromContainersStorage(other, [storage()], NOW);
    expect(mended.imported.map(({ image: { configDigest } }) => configDigest as string)).toEqual([config]);
    expect((await importAllFromContainersStorage(other, [storage()], NOW)).known).toHaveLength(1);
  });

  test("modes and owners of shared objects are the engine's, those of the molecule the image's", async () => {
    using store = newStore();
    const { settled } = await importHeld(store, name);
    expect(settled.evaluation.molecule).toHaveLength(64);
    const modes = objectsOf(store).map(({ path }) => (lstatSync(path).mode & 0o7777).toString(8));
    expect(modes).toContain("4755");
    expect((await checkStore(store, { readObjects: true })).problems).toEqual([]);
    const digest = objectsOf(store)[0]?.path.replace(/.*objects\/(..)\//, "$1") as VerityDigest;
    expect(store.readObject(digest).length).toBeGreaterThan(0);
  });

  test("the command line: one image, all images, and those that fail", async () => {
    const root = join(work, "cli-store");
    const command = async <T>(...args: string[]): Promise<{ code: number; answer: T }> => {
      const { code, stdout } = await run([...ATOMFS, "--json", "--root", root, ...args], {
        env: { ...process.env, ...env },
        okCodes: [0, 2, 3, 4],
      });
      return { code, answer: JSON.parse(stdout.toString() || "{}") };
    };
    const atomfs = (...args: string[]): ReturnType<typeof command<Record<string, unknown>>> =>
      command("import", ...args);
    const deployed = async (): Promise<string[]> =>
      (await command<{ config: string }[]>("deploy")).answer.map((each) => each.config);
    expect((await atomfs("containers-storage:none")).code).toBe(4);
    expect((await atomfs("--all", "oci:x")).code).toBe(2);
    expect((await atomfs()).code).toBe(2);
    const held = storage();
    const directory = held.openImage(held.findImage(name)).layers[1]?.directory ?? "";
    writeFileSync(join(directory, "opaque/upper"), "UPPER".repeat(30));
    expect(await atomfs("--all")).toMatchObject({
      code: 3,
      answer: { imported: [], failed: [{ image: config }] },
    });
    writeFileSync(join(directory, "opaque/upper"), "upper".repeat(30));
    expect(await atomfs("containers-storage:made:1", "--name", "other")).toMatchObject({
      code: 0,
      answer: { image: config, isNew: true, names: ["localhost/other:latest"] },
    });
    expect(await atomfs("--all")).toMatchObject({
      code: 0,
      answer: { imported: [], failed: [], known: [config] },
    });
    // Nothing was mounted, nothing shown to the engine.
    expect(readdirSync(join(root, "image-store"))).toEqual([]);
    expect(await deployed()).toEqual([]);
    // Unless it is asked for, also of an image that the store has already.
    expect((await atomfs("containers-storage:made:1", "--name", "other", "--deploy")).code).toBe(0);
    expect(await deployed()).toEqual([config]);
    removeStore(root);
  });

  test("it is found by name, short name and id", () => {
    const held = storage();
    const id = config.slice(0, 64);
    for (const wanted of [name, "made:1", id, id.slice(0, 12), `sha256:${id}`])
      expect<string>(held.findImage(wanted).configDigest).toBe(id);
    for (const wanted of ["made:2", "ade:1", "", "0".repeat(12)])
      expect(() => held.findImage(wanted)).toThrow(AtomfsError);
  });
});

test("a storage that is not there, or not overlay's, is said so", () => {
  expect(() =>
    openContainersStorage({ driver: "", graphRoot: "/nowhere", runRoot: "", imageStores: [] }),
  ).toThrow(/any engine's images/);
  expect(() =>
    openContainersStorage({ driver: "vfs", graphRoot: graph, runRoot: "", imageStores: [] }),
  ).toThrow(/vfs/);
});
