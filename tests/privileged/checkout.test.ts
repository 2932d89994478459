import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromText, treePath } from "../../src/core/bytestring.ts";
import type { VerityDigest } from "../../src/core/digest.ts";
import type { Tree } from "../../src/core/tree.ts";
import { checkoutTree } from "../../src/mounts/checkout.ts";
import { probeMounts } from "../../src/mounts/probe.ts";
import { cachedProbe } from "../../src/mounts/probe-cache.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { compareTree } from "../support/compare-tree.ts";
import { KERNEL, knownCapabilities } from "../support/known-kernels.ts";
import { MoleculeStore, richTree } from "../support/molecule-store.ts";
import { testUnless } from "../support/needs.ts";

let store: MoleculeStore;
let tree: Tree;
beforeAll(() => {
  store = new MoleculeStore();
  tree = richTree(store);
});
afterAll(() => store[Symbol.dispose]());

const KNOWN = knownCapabilities();
const UNKNOWN = KNOWN === undefined ? `nobody has written down what Linux ${KERNEL} can` : undefined;

testUnless(UNKNOWN, "the probe says what is known of this kernel", () => {
  expect(probeMounts(store.newDirectory("tmp"), store.run)).toMatchObject(KNOWN ?? {});
});

test("the probe leaves nothing, and is kept for the boot", () => {
  const temporary = store.newDirectory("tmp");
  const found = probeMounts(temporary, store.run);
  expect(readdirSync(temporary)).toEqual([]);
  expect(readMountinfo().filter(({ target }) => target.startsWith(store.directory))).toEqual([]);

  const run = store.newDirectory("cache");
  expect(cachedProbe({ temporary, run })).toEqual(found);
  const file = join(run, "probe.json");
  const forged = readFileSync(file, "utf8").replace(/"erofs":"\w+"/, '"erofs":"none"');
  writeFileSync(file, forged);
  expect(cachedProbe({ temporary, run }).erofs).toBe("none");
  for (const broken of [
    forged.replace('"erofs":"none"', '"erofs":"floppy"'),
    forged.replace(/"key":"./, '"key":"x'),
    "{",
    "",
  ]) {
    writeFileSync(file, broken);
    expect(cachedProbe({ temporary, run })).toEqual(found);
  }
});

describe("checkoutTree", () => {
  test("writes the whole tree, once", () => {
    const target = join(store.newDirectory("out"), "tree");
    const request = { tree, objectPath: (digest: VerityDigest) => store.objectPath(digest), target };
    checkoutTree(request);
    expect(compareTree(tree, target, store.readObject)).toEqual([]);
    const { ino } = statSync(target);
    checkoutTree(request);
    expect(statSync(target).ino).toBe(ino);
    expect(readdirSync(join(target, ".."))).toEqual(["tree"]);
  });

  test("a missing object or a tree that is none leaves nothing and says why", () => {
    const directory = store.newDirectory("out");
    const target = join(directory, "tree");
    const objectPath = () => join(directory, "none");
    expect(() => checkoutTree({ tree, objectPath, target })).toThrow(/object [0-9a-f]{64} is missing/);
    const hostile = new Map(tree).set(
      treePath("/bin/sub"),
      tree.get(treePath("/etc/hostname")) ?? expect.unreachable(),
    );
    expect(() => checkoutTree({ tree: hostile, objectPath, target })).toThrow(/its parent is no directory/);
    const overlay = new Map(tree).set(treePath("/x"), {
      ...(tree.get(treePath("/etc/hostname")) ?? expect.unreachable()),
      xattrs: new Map([[fromText("trusted.overlay.opaque"), fromText("y")]]),
    });
    expect(() => checkoutTree({ tree: overlay, objectPath, target })).toThrow(/trusted.overlay.opaque/);
    expect(readdirSync(directory)).toEqual([]);
  });
});
