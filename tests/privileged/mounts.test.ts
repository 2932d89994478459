import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { VerityDigest } from "../../src/core/digest.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import type { Tree } from "../../src/core/tree.ts";
import { applyMount, unmount } from "../../src/mounts/apply.ts";
import { checkoutTree } from "../../src/mounts/checkout.ts";
import {
  type MountCapabilities,
  type MountRow,
  type MountSpec,
  moleculeOfMount,
  moleculeOfSource,
  planMount,
  treePathOf,
  type UpperRequest,
} from "../../src/mounts/spec.ts";
import { findMount, readMountinfo } from "../../src/sys/mountinfo.ts";
import { compareTree } from "../support/compare-tree.ts";
import { changeAsContainer, expectChanged, strangeXattrs } from "../support/container-changes.ts";
import { knownCapabilities, whyNot } from "../support/known-kernels.ts";
import { MoleculeStore, richTree } from "../support/molecule-store.ts";
import { testUnless } from "../support/needs.ts";
import { patience } from "../support/slowness.ts";
import { mappedTree, userNamespace } from "../support/user-namespace.ts";

const FULL: MountCapabilities = {
  erofs: "file",
  layers: "fd",
  dataOnly: "plain",
  singleColon: true,
  secondLevel: true,
  verity: "none",
};

/** Every row, in each of the ways in which some kernel would have to mount it. */
const CASES: readonly (readonly [row: MountRow, how: string, capabilities: MountCapabilities])[] = [
  ["one-overlay", "by fd", FULL],
  ["one-overlay", "by path", { ...FULL, layers: "path" }],
  ["one-overlay", "by fd, loop", { ...FULL, erofs: "loop" }],
  ["two-levels", "by fd", { ...FULL, dataOnly: "metacopy" }],
  ["two-levels", "by path, loop", { ...FULL, dataOnly: "metacopy", layers: "path", erofs: "loop" }],
  ["single-colon", "by fd", { ...FULL, dataOnly: "none" }],
  ["single-colon", "by path, loop", { ...FULL, dataOnly: "none", layers: "path", erofs: "loop" }],
  ["tree", "by fd", { ...FULL, erofs: "none" }],
  ["tree", "by path", { ...FULL, erofs: "none", layers: "path" }],
];

/** What this kernel has of it. */
const BEST: MountCapabilities = { ...FULL, ...knownCapabilities() };

let store: MoleculeStore;
let tree: Tree;
let image: { readonly molecule: VerityDigest; readonly erofsPath: string };

beforeAll(() => {
  store = new MoleculeStore();
  tree = richTree(store);
  image = store.putMolecule(tree);
  const objectPath = (digest: VerityDigest) => store.objectPath(digest);
  checkoutTree({ tree, objectPath, target: treePathOf(store.trees, image.molecule) });
});
afterAll(() => store[Symbol.dispose]());

function plan(
  capabilities: MountCapabilities,
  target: string,
  upper?: UpperRequest,
  changed: { readonly erofsPath?: string; readonly objectsDir?: string; readonly treesDir?: string } = {},
): MountSpec {
  const request = { ...image, objectsDir: store.objects, treesDir: store.trees, target, ...changed };
  return planMount(upper === undefined ? request : { ...request, upper }, capabilities);
}

function mountsBelow(directory: string): string[] {
  return readMountinfo()
    .map((mount) => mount.target)
    .filter((target) => target.startsWith(directory));
}

/** Loop devices of this store's files; the kernel frees one a moment after its last user. */
function loopsOfStore(): string[] {
  return readdirSync("/sys/block")
    .map((name) => `/sys/block/${name}/loop/backing_file`)
    .filter((file) => backingFile(file).startsWith(store.directory));
}

/** Of a loop device, which may be another program's and go away at any time. */
function backingFile(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}

async function expectNothingLeft(): Promise<void> {
  const end = performance.now() + patience(60_000);
  while (loopsOfStore().length > 0 && performance.now() < end) await Bun.sleep(10);
  expect({
    mounts: mountsBelow(store.directory),
    loops: loopsOfStore(),
    run: readdirSync(store.run),
  }).toEqual({
    mounts: [],
    loops: [],
    run: [],
  });
}

function differences(directory: string): string[] {
  return compareTree(tree, directory, store.readObject);
}

describe.each(CASES)("%s %s", (row, _how, capabilities) => {
  const missing = whyNot(capabilities, BEST);
  const test = (name: string, body: () => void | Promise<void>): void => testUnless(missing, name, body);
  const options = () => ({ runDirectory: store.run });

  test("read-only: shows exactly the tree, under its molecule's name, and leaves nothing", async () => {
    const target = store.newDirectory("root");
    const spec = plan(capabilities, target);
    expect(spec.row).toBe(row);
    {
      using _ = applyMount(spec, options());
      expect(differences(target)).toEqual([]);
      expect(() => writeFileSync(join(target, "new"), "")).toThrow(/EROFS/);
      const mount = findMount(readMountinfo(), target) ?? expect.unreachable();
      expect(moleculeOfMount(mount)).toBe(image.molecule);
      if (row !== "tree") expect(moleculeOfSource(mount.source)).toBe(image.molecule);
      expect(mountsBelow(store.directory)).toEqual([target]);
    }
    await expectNothingLeft();
  });

  test("with an upper: writes stay in it, and an engine can read it", async () => {
    const target = store.newDirectory("root");
    const upper = store.newUpper();
    const spec = plan(capabilities, target, upper);
    expect(spec.row).toBe(row);
    applyMount(spec, options()).release();
    expect(moleculeOfSource(findMount(readMountinfo(), target)?.source ?? "")).toBe(image.molecule);
    expect(differences(target)).toEqual([]);
    changeAsContainer(target);
    expectChanged(target, tree, store.readObject);
    expect(unmount(target)).toBe(true);
    await expectNothingLeft();

    expect(strangeXattrs(upper.upperdir)).toEqual([]);
    // The engine reads its upper natively: after a mere chmod the whole content must be there.
    expect(statSync(join(upper.upperdir, "usr/lib/big.so")).blocks * 512).toBeGreaterThan(4_900_000);
    {
      using _ = applyMount(spec, options());
      expectChanged(target, tree, store.readObject);
    }
    await expectNothingLeft();
  });

  test("the image store's way: an engine's own overlay over the read-only mount", async () => {
    const below = store.newDirectory("below");
    using _below = applyMount(plan(capabilities, below), options());
    const target = store.newDirectory("root");
    const upper = store.newUpper();
    const engine = { ...plan({ ...FULL, erofs: "none" }, target, upper), layers: capabilities.layers };
    const steps = engine.steps
      .map((step) =>
        step.kind === "overlay" ? { ...step, lower: [{ path: below }], source: "overlay" } : step,
      )
      .filter((step) => step.kind !== "tree");
    {
      using _ = applyMount({ ...engine, steps }, options());
      expect(differences(target)).toEqual([]);
      chmodSync(join(target, "usr/lib/big.so"), 0o600);
    }
    expect(strangeXattrs(upper.upperdir)).toEqual([]);
  });

  test("a second container with the same molecule, and the engine's options", () => {
    const [one, two] = [store.newDirectory("root"), store.newDirectory("root")];
    const engine = ["nodev", "volatile", "xino=off", "metacopy=on", "lowerdir=l/AB:l/CD", "redirect_dir=on"];
    using _one = applyMount(plan(capabilities, one, store.newUpper()), options());
    const upper = { ...store.newUpper(), options: engine };
    for (let round = 0; round < 2; round++) {
      using _two = applyMount(plan(capabilities, two, upper), options());
      const mount = findMount(readMountinfo(), two);
      expect(mount?.options).toContain("nodev");
      expect(mount?.superOptions.join()).toMatch(/\b(fsync=)?volatile\b/);
      expect(mount?.superOptions).not.toContain("metacopy=on");
      expect(mount?.superOptions).not.toContain("redirect_dir=on");
      writeFileSync(join(two, "etc/hostname"), "two");
      expect(differences(one)).toEqual([]);
    }
  });

  test("for a user namespace: owners appear as it maps them, in the upper too", async () => {
    await using namespace = await userNamespace(100_000);
    const target = store.newDirectory("root");
    const upper = store.newUpper();
    const spec = planMount(
      { ...image, objectsDir: store.objects, treesDir: store.trees, target, upper, idmap: namespace.path },
      capabilities,
    );
    using _ = applyMount(spec, options());
    // Ids that the namespace does not map are nobody's.
    expect(compareTree(mappedTree(tree, 100_000), target, store.readObject)).toEqual(
      ["one", "two"].map((name) => `/usr/bin/${name}: gid is 65534, want 170000`),
    );
    chmodSync(join(target, "etc/hostname"), 0o600);
    expect(statSync(join(upper.upperdir, "etc/hostname")).uid).toBe(100_000);
  });

  test("names that an option string could misread, and longer than the kernel's 255 bytes", () => {
    const directory = join(store.newDirectory("odd"), `a:b,c\\d::e "${"x".repeat(200)}`);
    const upper = { upperdir: join(directory, "upper,:"), workdir: join(directory, "work\\") };
    const target = join(directory, "root");
    for (const name of [upper.upperdir, upper.workdir, target]) mkdirSync(name, { recursive: true });
    using _ = applyMount(plan(capabilities, target, upper), options());
    writeFileSync(join(target, "new"), "here");
    expect(readdirSync(upper.upperdir)).toEqual(["new"]);
    expect(findMount(readMountinfo(), target)?.target).toBe(target);
  });

  test("a step that fails names itself and undoes the others", async () => {
    const target = store.newDirectory("root");
    const gone = join(store.directory, "gone");
    const upper = { upperdir: join(gone, "upper"), workdir: join(gone, "work") };
    const attempts: [MountSpec, RegExp][] = [
      [plan(capabilities, target, upper), /overlay with .*gone\/upper\): .*ENOENT/],
      [plan(capabilities, `${target}/none`), /on .*none\): Cannot mount on .*: ENOENT/],
      row === "tree"
        ? [plan(capabilities, target, undefined, { treesDir: gone }), /checked-out tree .*gone.*ENOENT/]
        : [plan(capabilities, target, undefined, { erofsPath: gone }), /EROFS image .*gone.*ENOENT/],
    ];
    if (capabilities.layers === "fd") {
      const bogus = { ...store.newUpper(), options: ["bogus=1"] };
      attempts.push([
        plan(capabilities, target, bogus),
        /Cannot set overlay option bogus=1: EINVAL \(overlay: Unknown parameter 'bogus'\)/,
      ]);
    }
    if (row !== "tree") {
      attempts.push(
        [
          plan(capabilities, target, undefined, { objectsDir: gone }),
          /read-only overlay over .*gone.*ENOENT/,
        ],
        [plan(capabilities, target, undefined, { erofsPath: garbage() }), /garbage.*: Cannot make erofs: /],
      );
    }
    for (const [spec, message] of attempts) {
      expect(() => applyMount(spec, options())).toThrow(message);
      expect(() => applyMount(spec, options())).toThrow(AtomfsError);
    }
    await expectNothingLeft();
  });
});

function garbage(): string {
  const path = join(store.directory, "garbage");
  writeFileSync(path, Buffer.alloc(65_536, 7));
  return path;
}

test("the kernel refuses a third level: a clear error, nothing stays", async () => {
  const below = store.newDirectory("below");
  const middle = store.newDirectory("middle");
  const target = store.newDirectory("root");
  {
    using _below = applyMount(plan(BEST, below), { runDirectory: store.run });
    const over = (lower: string, at: string): MountSpec => {
      const spec = plan({ ...BEST, erofs: "none" }, at, store.newUpper());
      const steps = spec.steps.map((s) => (s.kind === "overlay" ? { ...s, lower: [{ path: lower }] } : s));
      return { ...spec, steps: steps.filter((s) => s.kind !== "tree") };
    };
    using _middle = applyMount(over(below, middle), { runDirectory: store.run });
    expect(() => applyMount(over(middle, target), { runDirectory: store.run })).toThrow(
      /overlay with .*: Cannot (make|mount) overlay.*: EINVAL/,
    );
  }
  await expectNothingLeft();
});

test("one molecule after another under the same upper, as a fix does it", () => {
  const target = store.newDirectory("root");
  const upper = store.newUpper();
  const ways: readonly MountCapabilities[] = [
    BEST,
    { ...BEST, dataOnly: "metacopy" },
    { ...BEST, dataOnly: "none" },
    { ...BEST, erofs: "none" },
  ];
  for (const capabilities of ways.filter((each) => whyNot(each, BEST) === undefined)) {
    using _ = applyMount(plan(capabilities, target, upper), { runDirectory: store.run });
    chmodSync(join(target, "usr/lib/big.so"), 0o640);
    expect(readFileSync(join(target, "etc/hostname"), "latin1")).toBe("molecule\n");
  }
  expect(strangeXattrs(upper.upperdir)).toEqual([]);
});

test("unmount answers whether there was a mount", () => {
  const target = store.newDirectory("root");
  expect(unmount(target)).toBe(false);
  expect(unmount(join(target, "none"))).toBe(false);
  applyMount(plan(BEST, target), { runDirectory: store.run }).release();
  expect(unmount(target)).toBe(true);
  rmdirSync(target);
});
