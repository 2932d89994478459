import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  type FilledImages,
  fillStore,
  putImage,
  putObject,
  type StoredImage,
} from "../../tests/support/filled-store.ts";
import { digestOf, TemporaryStore } from "../../tests/support/temporary-store.ts";
import type { VerityDigest } from "../core/digest.ts";
import { checkStore } from "./fsck.ts";
import { collectGarbage, type Garbage } from "./gc.ts";

let temporary: TemporaryStore;
let images: FilledImages;
beforeEach(() => {
  temporary = new TemporaryStore();
  images = fillStore(temporary);
});
afterEach(() => temporary[Symbol.dispose]());

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
    const stray = putImage(temporary, "stray");
    const said = collect(true);
    expect(names(said)).toEqual(partsOf(stray));
    expect(said.bytes).toBeGreaterThan(6000);
    expect(collect(true)).toEqual(said);
    expect(collect()).toEqual(said);
    expect(collect()).toEqual({ paths: [], bytes: 0 });
    expect((await checkStore(temporary.store, { readObjects: true })).problems).toEqual([]);
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
    const stray = putImage(temporary, "stray");
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
    const stray = putImage(temporary, "stray");
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

  describe("the cache", () => {
    const DAY = 86_400_000;
    const now = Date.now();
    const limits = { now, maxAgeMs: 30 * DAY, maxBytes: 2500 };
    const put = (name: string, days: number): void => {
      const path = temporary.path("cache/apt", name);
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, Buffer.alloc(1000));
      utimesSync(path, new Date(now - days * DAY), new Date(now - days * DAY));
    };

    test("what is old goes, then the oldest of what is too much", () => {
      for (const [name, days] of [
        ["debs/old", 31],
        ["debs/a", 4],
        ["indexes/b", 3],
        ["debs/c", 2],
      ] as const)
        put(name, days);
      const garbage = collectGarbage(temporary.store, new Set(), { dryRun: false, cache: limits });
      expect(names(garbage)).toEqual(["cache/apt/debs/a", "cache/apt/debs/old"]);
      expect(garbage.bytes).toBe(2000);
      expect(temporary.list("cache/apt/debs")).toEqual(["c"]);
    });

    test("what archives said last stays however old it is, and is no part of the size", () => {
      put("releases/x", 900);
      put("debs/a", 1);
      put("debs/b", 2);
      const garbage = collectGarbage(temporary.store, new Set(), { dryRun: false, cache: limits });
      expect(garbage.paths).toEqual([]);
    });

    test("without limits it stays", () => {
      put("debs/old", 900);
      expect(collect().paths).toEqual([]);
    });
  });

  test("a dry run without an image says what a run after its removal removes", () => {
    const said = collectGarbage(temporary.store, new Set(), {
      dryRun: true,
      without: new Set([images.web.config]),
    });
    temporary.transact({ op: "image-removed", config: images.web.config });
    expect(collect()).toEqual(said);
    expect(names(said)).toContain(`molecules/${images.fixedWeb}.erofs`);
    expect(names(said)).not.toContain(`atoms/${images.fixAtom}`);
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
    const content = putObject(temporary, "shared");
    linkSync(temporary.path(objectPath(content.digest)), temporary.path("cache/layer-file"));
    expect(collect()).toEqual({ paths: [temporary.path(objectPath(content.digest))], bytes: 0 });
  });

  test("with a damaged atom nothing is removed", () => {
    putImage(temporary, "stray");
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
