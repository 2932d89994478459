import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeImages } from "../../src/engines/drop-images.ts";
import { objectsOf } from "../../src/formats/erofs/reader.ts";
import { Store } from "../../src/store/store.ts";
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

test("an image that is removed while it is imported again keeps its packages, so that fixes find it", async () => {
  const packaged = join(lab.newDirectory("packaged"), "root");
  for (const directory of ["usr/bin", "var/lib/dpkg/info"])
    mkdirSync(join(packaged, directory), { recursive: true });
  writeFileSync(join(packaged, "usr/bin/tool"), "#!/bin/sh\n");
  const info = join(packaged, "var/lib/dpkg/info/tool");
  writeFileSync(`${info}.list`, "/.\n/usr\n/usr/bin\n/usr/bin/tool\n");
  writeFileSync(`${info}.md5sums`, "3e2b31c72181b87149ff995e7202c0e3  usr/bin/tool\n");
  const fields =
    "Status: install ok installed\nArchitecture: amd64\nVersion: 1.0\nMaintainer: x\nDescription: x\n";
  writeFileSync(join(packaged, "var/lib/dpkg/status"), `Package: tool\n${fields}`);
  const first = await lab.importDirectory("packaged", packaged);
  const { config } = first.image;
  expect(lab.store.catalog.packagesOfImage(config)).toMatchObject([{ name: "tool", version: "1.0" }]);
  {
    // Another command, whose change this one's view of the store has not seen yet.
    using other = Store.open(lab.store.layout.root);
    removeImages(other, ["localhost/packaged:latest"], { command: "test", now: new Date(0) });
  }
  const again = await lab.importDirectory("packaged", packaged);
  expect(again).toMatchObject({ isNew: true, packageAtoms: 1 });
  expect(again.image.atoms).toEqual(first.image.atoms);
  expect(lab.store.catalog.packagesOfImage(config)).toMatchObject([{ name: "tool", version: "1.0" }]);
});
