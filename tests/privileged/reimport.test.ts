import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { objectsOf } from "../../src/formats/erofs/reader.ts";
import { readFileBounded } from "../../src/sys/files.ts";
import { FixLab } from "../support/fix-lab.ts";

let lab: FixLab;
let root = "";

beforeAll(() => {
  lab = new FixLab();
  root = join(lab.newDirectory("image"), "root");
  mkdirSync(join(root, "etc"), { recursive: true });
  writeFileSync(join(root, "etc/large"), "x".repeat(1000));
  writeFileSync(join(root, "etc/small"), "y");
});
afterAll(() => lab[Symbol.dispose]());

test("an image that the store has whole is not read again; one that lost an object, or a part of one, is", async () => {
  const first = await lab.importDirectory("image", root);
  expect(first.isNew).toBe(true);
  const { store } = lab;
  const molecule = store.currentMolecule(first.image.config);
  const again = await lab.importDirectory("image", root);
  expect(again).toMatchObject({
    isNew: false,
    image: first.image,
    entries: first.entries,
    totalBytes: first.totalBytes,
    newBytes: 0,
    newAtoms: 0,
    layerAtoms: first.layerAtoms,
  });
  expect(store.state.sequence).toBe(1);

  const [object] = objectsOf(readFileBounded(store.layout.molecule(molecule), 1 << 20));
  if (object === undefined) throw new Error("the image has an object");
  const path = store.layout.object(object);
  for (const damage of [() => rmSync(path), () => truncateSync(path, 999)]) {
    damage();
    const mended = await lab.importDirectory("image", root);
    expect(mended.newBytes).toBe(1000);
    expect(readFileSync(path, "utf8")).toBe("x".repeat(1000));
    expect(store.currentMolecule(first.image.config)).toBe(molecule);
  }
});
