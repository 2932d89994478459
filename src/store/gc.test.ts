import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import {
  digestOf,
  fixRule,
  generation,
  imageRecord,
  TemporaryStore,
} from "../../tests/support/temporary-store.ts";
import { ROOT, treePath } from "../core/bytestring.ts";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, type FileContent, type Inode, type Tree } from "../core/tree.ts";
import type { AtomOrigin } from "../formats/atom/atom.ts";
import { writeErofs } from "../formats/erofs/writer.ts";
import { checkStore, type FsckReport, rebuildCatalog } from "./fsck.ts";
import { collectGarbage, type Garbage } from "./gc.ts";

let temporary: TemporaryStore;
let images: { web: StoredImage; fixedWeb: VerityDigest; fixAtom: Sha256; fixObject: VerityDigest };
beforeEach(() => {
  temporary = new TemporaryStore();
  images = fill();
});
afterEach(() => temporary[Symbol.dispose]());

type StoredImage = {
  readonly config: Sha256;
  readonly atom: Sha256;
  readonly molecule: VerityDigest;
  readonly object: VerityDigest;
};

function putObject(text: string): FileContent & { kind: "object" } {
  using staging = temporary.store.beginObjects();
  const content = staging.putBytes(Buffer.alloc(3000, text));
  staging.publish();
  if (content.kind !== "object") throw new Error("too small for an object");
  return content;
}

function treeOf(content: FileContent): Tree {
  const file: Inode = {
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { sec: 1, nsec: 0 },
    xattrs: EMPTY_XATTRS,
    content,
  };
  return new Map<ReturnType<typeof treePath>, Inode>([
    [ROOT, DEFAULT_ROOT],
    [treePath("/file"), file],
  ]);
}

function putAtom(origin: AtomOrigin, content: FileContent): Sha256 {
  const entries = [...treeOf(content)].map(([path, inode]) => ({ path, inode }));
  return temporary.store.putAtom({ origin, control: [], entries });
}

const identity = { name: "demo", architecture: "amd64", version: "1", source: "demo", sourceVersion: "1" };

/** Atom, object, molecule and documents that only the caller may name. */
function putImage(text: string): StoredImage {
  const { store } = temporary;
  const content = putObject(text);
  const atom = putAtom({ kind: "installed", package: identity }, content);
  const molecule = store.putMolecule(writeErofs(treeOf(content)));
  const config = Buffer.from(`config ${text}`);
  const id = createHash("sha256").update(config).digest("hex") as Sha256;
  store.putImageDocuments(id, config, Buffer.from(`manifest ${text}`));
  return { config: id, atom, molecule, object: content.digest };
}

function fill(): typeof images {
  const web = putImage("web");
  const manifest = createHash("sha256").update("manifest web").digest("hex") as Sha256;
  const newContent = putObject("fixed");
  const fixAtom = putAtom(
    { kind: "deb", package: { ...identity, version: "2" }, deb: digestOf("d") },
    newContent,
  );
  const fixedWeb = temporary.store.putMolecule(writeErofs(treeOf(newContent)));
  temporary.store.catalog.setImage(web.config, [{ ...identity, atom: web.atom }]);
  temporary.transact(
    { op: "image-added", image: { ...imageRecord(web.config, [web.atom]), manifest } },
    { op: "name-set", name: "localhost/web:latest", config: web.config },
    { op: "generation", generation: generation(web.config, 1, web.molecule) },
  );
  temporary.transact(
    { op: "fix-added", fix: fixRule("0123456789ab", [fixAtom]) },
    { op: "generation", generation: generation(web.config, 2, fixedWeb, ["0123456789ab"]) },
  );
  return { web, fixedWeb, fixAtom, fixObject: newContent.digest };
}

function writePlan(name: string, plan: unknown): void {
  writeFileSync(temporary.path("plans", name), JSON.stringify(plan));
}

function collect(dryRun = false, inUse: readonly VerityDigest[] = []): Garbage {
  return collectGarbage(temporary.store, new Set(inUse), { dryRun });
}

const names = (garbage: Garbage): string[] =>
  garbage.paths.map((path) => path.slice(temporary.root.length + 1)).sort();
const objectPath = (digest: VerityDigest): string => `objects/${digest.slice(0, 2)}/${digest.slice(2)}`;
const partsOf = (image: StoredImage): string[] =>
  [
    `atoms/${image.atom}`,
    `images/${image.config}.config`,
    `images/${image.config}.manifest`,
    `molecules/${image.molecule}.erofs`,
    objectPath(image.object),
  ].sort();

describe("gc", () => {
  test("keeps all that names, generations and fixes need", () => {
    expect(collect()).toEqual({ paths: [], bytes: 0 });
    expect(temporary.list("molecules")).toHaveLength(2);
    expect(temporary.list("atoms")).toHaveLength(2);
  });

  test("a dry run says what a run removes, and removes nothing", async () => {
    const stray = putImage("stray");
    const said = collect(true);
    expect(names(said)).toEqual(partsOf(stray));
    expect(said.bytes).toBeGreaterThan(6000);
    expect(collect(true)).toEqual(said);
    expect(collect()).toEqual(said);
    expect(collect()).toEqual({ paths: [], bytes: 0 });
    expect((await check()).problems).toEqual([]);
  });

  test("an image that was removed goes, with what only it had", () => {
    temporary.transact({ op: "image-removed", config: images.web.config });
    temporary.transact({ op: "fix-removed", id: "0123456789ab" });
    const removed = names(collect());
    expect(removed).toContain(`molecules/${images.fixedWeb}.erofs`);
    expect(removed).toContain(`atoms/${images.fixAtom}`);
    for (const part of partsOf(images.web)) expect(removed).toContain(part);
    expect(temporary.list("molecules")).toEqual([]);
    expect(temporary.store.catalog.images().size).toBe(0);
  });

  test("a removed fix keeps its generations' molecules, not its atom", () => {
    temporary.transact({ op: "fix-removed", id: "0123456789ab" });
    expect(names(collect())).toEqual([`atoms/${images.fixAtom}`]);
    expect(temporary.store.readObject(images.fixObject)).toHaveLength(3000);
  });

  test("a molecule that is mounted or leased is kept with its objects and tree", () => {
    const stray = putImage("stray");
    mkdirSync(temporary.path("trees", stray.molecule));
    const removed = names(collect(false, [stray.molecule]));
    expect(removed).not.toContain(`molecules/${stray.molecule}.erofs`);
    expect(removed).not.toContain(objectPath(stray.object));
    expect(temporary.list("trees")).toEqual([stray.molecule]);
    expect(names(collect())).toEqual(
      [`molecules/${stray.molecule}.erofs`, objectPath(stray.object), `trees/${stray.molecule}`].sort(),
    );
  });

  test("a molecule of another store that is in use is no matter", () => {
    expect(collect(false, [digestOf("e") as string as VerityDigest]).paths).toEqual([]);
  });

  test("a plan keeps what it needs until the journal moves on", () => {
    const stray = putImage("stray");
    const plan = {
      sequence: temporary.store.state.sequence,
      rules: [{ replacements: [{ atom: stray.atom }] }],
      images: [{ molecule: stray.molecule }],
    };
    writePlan("0123456789ab.json", plan);
    writePlan("ffffffffffff.json", { ...plan, sequence: 1 });
    expect(names(collect())).toEqual([
      `images/${stray.config}.config`,
      `images/${stray.config}.manifest`,
      "plans/ffffffffffff.json",
    ]);
    temporary.transact({ op: "name-removed", name: "localhost/web:latest" });
    expect(names(collect())).toEqual(
      [
        `atoms/${stray.atom}`,
        `molecules/${stray.molecule}.erofs`,
        objectPath(stray.object),
        "plans/0123456789ab.json",
      ].sort(),
    );
  });

  test.each(["", "{", "null", '{"sequence":2,"rules":[null],"images":[]}', '{"sequence":2,"rules":7}'])(
    "%j is no plan",
    (text) => {
      writeFileSync(temporary.path("plans", "0123456789ab.json"), text);
      expect(names(collect())).toEqual(["plans/0123456789ab.json"]);
    },
  );

  test("what a crash left half-written goes: in tmp, trees, cache and image store", () => {
    mkdirSync(temporary.path("tmp/objects-1-x"));
    symlinkSync("/nowhere", temporary.path("tmp/objects-1-x/dangling"));
    mkdirSync(temporary.path("trees/.aaaa.XyZ"));
    symlinkSync("/nowhere", temporary.path("trees/.aaaa.XyZ/dangling"));
    mkdirSync(temporary.path("cache/apt/debs"), { recursive: true });
    for (const name of [".ab.deb.123.0", "ab.deb", ".hidden"])
      writeFileSync(temporary.path("cache/apt/debs", name), "x");
    symlinkSync("/nowhere", temporary.path("image-store/diff.77.new"));
    writeFileSync(temporary.path("objects/stray"), "x");
    expect(names(collect())).toEqual([
      "cache/apt/debs/.ab.deb.123.0",
      "image-store/diff.77.new",
      "objects/stray",
      "tmp/objects-1-x",
      "trees/.aaaa.XyZ",
    ]);
    expect(temporary.list("cache/apt/debs")).toEqual([".hidden", "ab.deb"]);
  });

  test("what is outside is never followed", () => {
    const outside = new TemporaryStore();
    using _ = outside;
    writeFileSync(outside.path("keep"), "x");
    symlinkSync(outside.root, temporary.path("tmp/link"));
    collect();
    expect(outside.read("keep")).toBe("x");
  });

  test("an object that an engine's layer shares frees nothing", () => {
    const content = putObject("shared");
    linkSync(temporary.path(objectPath(content.digest)), temporary.path("cache/layer-file"));
    expect(collect()).toEqual({ paths: [temporary.path(objectPath(content.digest))], bytes: 0 });
  });

  test("with a damaged atom nothing is removed", () => {
    putImage("stray");
    chmodSync(temporary.path("atoms", images.web.atom), 0o600);
    truncateSync(temporary.path("atoms", images.web.atom), 10);
    expect(() => collect()).toThrow(expect.objectContaining({ kind: "bad-data" }));
    expect(temporary.list("molecules")).toHaveLength(3);
  });

  test("waits for whoever adds to the store, and gives up with a reason", () => {
    using staging = temporary.store.beginObjects();
    staging.putBytes(Buffer.alloc(500));
    expect(() => collectGarbage(temporary.store, new Set(), { dryRun: false, timeoutMs: 50 })).toThrow(
      expect.objectContaining({ kind: "stale", message: expect.stringMatching(/gc\.lock/) }),
    );
    expect(temporary.list("tmp")).toHaveLength(1);
    staging[Symbol.dispose]();
    expect(collect().paths).toEqual([]);
  });
});

function check(readObjects = true): Promise<FsckReport> {
  return checkStore(temporary.store, { readObjects });
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe("fsck", () => {
  test("a good store is clean", async () => {
    const clean = { problems: [], checked: { atoms: 2, molecules: 2, objects: 2 }, repaired: 0 };
    expect(await check()).toEqual(clean);
    expect(await check(false)).toEqual(clean);
  });

  const DAMAGE: readonly (readonly [string, () => void, RegExp, boolean])[] = [
    [
      "a missing object",
      () => rmSync(temporary.path(objectPath(images.web.object))),
      /object .* is missing/,
      true,
    ],
    [
      "a flipped byte in an object",
      () => flip(temporary.path(objectPath(images.web.object))),
      /object .* another digest/,
      false,
    ],
    [
      "a shorter object",
      () => truncateSync(temporary.path(objectPath(images.web.object)), 2999),
      /object .* 2999 bytes, want 3000/,
      true,
    ],
    [
      "an object that is a symlink",
      () => {
        rmSync(temporary.path(objectPath(images.web.object)));
        symlinkSync("/etc/passwd", temporary.path(objectPath(images.web.object)));
      },
      /object .* regular file/,
      true,
    ],
    [
      "a flipped byte in a fix's object",
      () => flip(temporary.path(objectPath(images.fixObject))),
      /another digest/,
      false,
    ],
    [
      "a missing molecule",
      () => rmSync(temporary.path("molecules", `${images.web.molecule}.erofs`)),
      /molecule .* is missing/,
      true,
    ],
    [
      "a flipped byte in a molecule",
      () => flip(temporary.path("molecules", `${images.fixedWeb}.erofs`)),
      /molecule .* another digest/,
      true,
    ],
    ["a missing atom", () => rmSync(temporary.path("atoms", images.web.atom)), /has lost atom/, true],
    [
      "a flipped byte in an atom",
      () => flip(temporary.path("atoms", images.web.atom)),
      /atom .* not what was written/,
      true,
    ],
    [
      "a flipped byte in a fix's atom",
      () => flip(temporary.path("atoms", images.fixAtom)),
      /atom .* not what was written/,
      true,
    ],
    [
      "a missing config",
      () => rmSync(temporary.path("images", `${images.web.config}.config`)),
      /image .* its config is missing/,
      true,
    ],
    [
      "a flipped byte in a config",
      () => flip(temporary.path("images", `${images.web.config}.config`)),
      /config is damaged/,
      true,
    ],
    [
      "a flipped byte in a manifest",
      () => flip(temporary.path("images", `${images.web.config}.manifest`)),
      /manifest is damaged/,
      true,
    ],
    [
      "a catalog without the image",
      () => temporary.store.catalog.clear(),
      /catalog says something else/,
      true,
    ],
    [
      "a catalog that says something else",
      () =>
        temporary.store.catalog.setImage(images.web.config, [
          { ...identity, version: "9", atom: images.web.atom },
        ]),
      /catalog says something else/,
      true,
    ],
  ];
  test.each(DAMAGE)("%s", async (_, damage, problem, isQuick) => {
    damage();
    const report = await check();
    expect(report.problems).not.toEqual([]);
    expect(report.problems.join("\n")).toMatch(problem);
    expect((await check(false)).problems.length > 0).toBe(isQuick);
  });

  test("all problems are listed, not only the first", async () => {
    rmSync(temporary.path(objectPath(images.web.object)));
    flip(temporary.path(objectPath(images.fixObject)));
    rmSync(temporary.path("molecules", `${images.web.molecule}.erofs`));
    expect((await check()).problems).toHaveLength(3);
  });

  test("an image without any package is clean", async () => {
    const config = Buffer.from("scratch");
    const id = createHash("sha256").update(config).digest("hex") as Sha256;
    const manifest = createHash("sha256").update("m").digest("hex") as Sha256;
    temporary.store.putImageDocuments(id, config, Buffer.from("m"));
    temporary.store.catalog.setImage(id, []);
    temporary.transact(
      { op: "image-added", image: { ...imageRecord(id), manifest } },
      { op: "generation", generation: generation(id, 1, images.web.molecule) },
    );
    expect((await check()).problems).toEqual([]);
  });

  test("current/ is repaired and counted", async () => {
    writeFileSync(temporary.path("current", images.web.config), "x");
    expect(await check()).toMatchObject({ problems: [], repaired: 1 });
    expect(await check()).toMatchObject({ problems: [], repaired: 0 });
  });

  test("a signal ends it", async () => {
    const signal = AbortSignal.abort();
    await expect(checkStore(temporary.store, { readObjects: true, signal })).rejects.toMatchObject({
      kind: "interrupted",
    });
  });

  test("a rebuilt catalog equals the one before, and forgets images that are gone", async () => {
    const before = temporary.store.catalog.packagesOfImage(images.web.config);
    temporary.store.catalog.setImage(digestOf("c"), [{ ...identity, atom: digestOf("d") }]);
    expect(rebuildCatalog(temporary.store)).toBe(1);
    expect(temporary.store.catalog.packagesOfImage(images.web.config)).toEqual(before);
    expect([...temporary.store.catalog.images()]).toEqual([images.web.config]);
    expect((await check()).problems).toEqual([]);
  });
});
