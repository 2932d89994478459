import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  linkSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { type FilledImages, fillStore, identity } from "../../tests/support/filled-store.ts";
import { digestOf, generation, imageRecord, TemporaryStore } from "../../tests/support/temporary-store.ts";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { verityDigest } from "../core/verity.ts";
import { checkStore, type FsckReport, rebuildCatalog } from "./fsck.ts";

let temporary: TemporaryStore;
let images: FilledImages;
beforeEach(() => {
  temporary = new TemporaryStore();
  images = fillStore(temporary);
});
afterEach(() => temporary[Symbol.dispose]());

const objectPath = (digest: VerityDigest): string => `objects/${digest.slice(0, 2)}/${digest.slice(2)}`;

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
    const clean = { problems: [], checked: { atoms: 2, molecules: 2, objects: 2 }, repaired: 0, removed: [] };
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

  describe("an object that is a hard link of an engine's layer file", () => {
    const linked = (): string => {
      const theirs = temporary.path("tmp/of-the-engine");
      linkSync(temporary.path(objectPath(images.web.object)), theirs);
      return theirs;
    };

    test("is as good as another, also when the engine removes its name, changes its mode, or has it replaced", async () => {
      const theirs = linked();
      chmodSync(theirs, 0o4755);
      expect((await check()).problems).toEqual([]);
      rmSync(theirs);
      writeFileSync(theirs, "another file");
      expect((await check()).problems).toEqual([]);
    });

    test("that was changed in place there is told, with where", async () => {
      flip(linked());
      const { problems } = await check();
      expect(problems).toEqual([
        expect.stringMatching(/^object .* another digest; it is a hard link of an engine's layer file/),
      ]);
      expect((await check(false)).problems).toEqual([]);
    });

    test("that became shorter there is told without reading it", async () => {
      truncateSync(linked(), 10);
      expect((await check(false)).problems).toEqual([
        expect.stringMatching(/has 10 bytes, want 3000; it is a hard link of an engine's layer file/),
      ]);
    });
  });

  test("what is not what its name says is taken away on demand, and nothing else", async () => {
    const object = temporary.path(objectPath(images.web.object));
    const molecule = temporary.path("molecules", `${images.fixedWeb}.erofs`);
    const atom = temporary.path("atoms", images.fixAtom);
    for (const path of [object, molecule, atom]) flip(path);
    rmSync(temporary.path("images", `${images.web.config}.config`));
    expect((await check()).removed).toEqual([]);
    const options = { readObjects: true, removeDamaged: true };
    const { problems, removed } = await checkStore(temporary.store, options);
    expect(problems).toHaveLength(4);
    expect([...removed].sort()).toEqual([object, molecule, atom].sort());
    expect(removed.filter((path) => existsSync(path))).toEqual([]);
    const after = await checkStore(temporary.store, options);
    expect(after.problems.filter((problem) => /missing|has lost/.test(problem))).toHaveLength(4);
    expect(after.removed).toEqual([]);
  });

  test("an object that nobody needs is measured, too, before an import could take it", async () => {
    const bytes = Buffer.alloc(100, "nobody's");
    {
      using staging = temporary.store.beginObjects();
      staging.putBytes(bytes);
      staging.publish();
    }
    const path = temporary.path(objectPath(verityDigest(bytes)));
    const options = { readObjects: true, removeDamaged: true };
    expect(await checkStore(temporary.store, options)).toMatchObject({ problems: [], removed: [] });
    flip(path);
    expect(await checkStore(temporary.store, options)).toMatchObject({ removed: [path] });
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
