import { afterEach, beforeEach, expect, test } from "bun:test";
import { linkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type FilledImages, fillStore, putImage } from "../../tests/support/filled-store.ts";
import { digestOf, imageRecord, TemporaryStore } from "../../tests/support/temporary-store.ts";
import { collectGarbage, estimateGarbage } from "./gc.ts";
import { findReachable } from "./reachable.ts";
import { measureStore } from "./usage.ts";

const OBJECT = 3000;

let temporary: TemporaryStore;
let images: FilledImages;
beforeEach(() => {
  temporary = new TemporaryStore();
  images = fillStore(temporary);
});
afterEach(() => temporary[Symbol.dispose]());

const sizeOf = (...names: string[]): number => statSync(temporary.path(...names)).size;
const objectPath = (digest: string): string => temporary.path("objects", digest.slice(0, 2), digest.slice(2));

test("an image has its documents, atoms, molecules of all generations and their objects", () => {
  const usage = measureStore(temporary.store);
  const { config, atom, molecule } = images.web;
  const documents = sizeOf("images", `${config}.config`) + sizeOf("images", `${config}.manifest`);
  const molecules = [molecule, images.fixedWeb].map((each) => sizeOf("molecules", `${each}.erofs`));
  const bytes = documents + sizeOf("atoms", atom) + (molecules[0] ?? 0) + (molecules[1] ?? 0) + 2 * OBJECT;
  expect(usage.images).toEqual([
    {
      config,
      names: ["localhost/web:latest"],
      bytes,
      // The fix's object, which the fixed molecule has too.
      shared: OBJECT,
      unique: bytes - OBJECT,
      engineShared: 0,
      freed: bytes - OBJECT,
    },
  ]);
  expect(usage.fixes).toEqual([
    {
      id: "0123456789ab",
      title: "demo 2",
      bytes: OBJECT + sizeOf("atoms", images.fixAtom),
      shared: OBJECT,
      unique: sizeOf("atoms", images.fixAtom),
      engineShared: 0,
      freed: sizeOf("atoms", images.fixAtom),
    },
  ]);
});

test("what two images have is shared, and each one's own is unique", () => {
  const other = digestOf("a");
  for (const name of ["config", "manifest"])
    writeFileSync(temporary.path("images", `${other}.${name}`), "{}");
  temporary.transact({ op: "image-added", image: imageRecord(other, [images.web.atom]) });
  const [web, second] = measureStore(temporary.store).images;
  expect(second).toMatchObject({ unique: 4, bytes: 4 + sizeOf("atoms", images.web.atom) + OBJECT });
  expect(web?.shared).toBe(sizeOf("atoms", images.web.atom) + 2 * OBJECT);
  expect(second?.shared).toBe(sizeOf("atoms", images.web.atom) + OBJECT);
});

test("a hard link of an engine's file takes no space, and frees none", () => {
  const before = measureStore(temporary.store);
  linkSync(objectPath(images.web.object), temporary.path("tmp/of-the-engine"));
  const after = measureStore(temporary.store);
  expect(after.images[0]).toMatchObject({
    bytes: before.images[0]?.bytes,
    unique: before.images[0]?.unique,
    engineShared: OBJECT,
    freed: (before.images[0]?.freed ?? 0) - OBJECT,
  });
  expect(after.engineShared).toBe(OBJECT);
});

test("the parts are all that is there", () => {
  putImage(temporary, "stray");
  const { parts, bytes } = measureStore(temporary.store);
  expect(parts.find(({ name }) => name === "objects")?.bytes).toBe(3 * OBJECT);
  expect(parts.reduce((sum, part) => sum + part.bytes, 0)).toBe(bytes);
  expect(parts.map(({ name }) => name)).toContain(".");
});

test("what gc would remove is what it removes", () => {
  putImage(temporary, "stray");
  const { store } = temporary;
  const said = estimateGarbage(store, findReachable(store, new Set()));
  expect(said.bytes).toBeGreaterThan(OBJECT);
  expect(collectGarbage(store, new Set(), { dryRun: false })).toEqual(said);
});

test("a lost object is told", () => {
  rmSync(objectPath(images.web.object));
  expect(() => measureStore(temporary.store)).toThrow(expect.objectContaining({ kind: "bad-data" }));
});
