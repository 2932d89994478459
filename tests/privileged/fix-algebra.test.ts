import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { VerityDigest } from "../../src/core/digest.ts";
import { applyFix, revertFix } from "../../src/fixing/apply.ts";
import type { FixPlan } from "../../src/fixing/plan.ts";
import type { FixRule, ImageRecord } from "../../src/store/records.ts";
import { currentGeneration, namesOf } from "../../src/store/state.ts";
import { installSpecs, makeSmallRoot } from "../support/dpkg-case.ts";
import { copyDirectory } from "../support/dpkg-reference.ts";
import { FixLab } from "../support/fix-lab.ts";
import { type DebSpec, makeDeb } from "../support/make-deb.ts";
import { patience } from "../support/slowness.ts";

const NOW = new Date("2026-02-03T04:05:06Z");

/** A root with two packages of version 1, and package files of both in later versions. */
let shared: FixLab;
let root = "";
let debs = "";
let lowFile = "";
let highFile = "";
let otherFile = "";

const spec = (name: string, version: string): DebSpec => ({
  name,
  version,
  files: {
    [`/usr/${name}/f`]: `${name} ${version}`,
    [`/usr/${name}/${version}`]: "only here",
    "/etc/c": `${version}`,
  },
  control: { conffiles: "/etc/c\n" },
});
const other = (version: string): DebSpec => ({ name: "other", version, files: { "/usr/o": `o ${version}` } });

beforeAll(async () => {
  shared = new FixLab();
  const small = shared.newDirectory("small");
  await makeSmallRoot(small);
  debs = shared.newDirectory("debs");
  root = join(shared.newDirectory("image"), "root");
  await copyDirectory(small, root);
  await installSpecs(root, debs, [spec("pkg", "1"), other("1")]);
  writeFileSync(join(root, "etc/c"), "edited");
  lowFile = await makeDeb(debs, spec("pkg", "2"));
  highFile = await makeDeb(debs, spec("pkg", "3"));
  otherFile = await makeDeb(debs, other("2"));
}, patience(300_000));
afterAll(() => shared[Symbol.dispose](), patience(60_000));

type World = {
  readonly lab: FixLab;
  readonly image: ImageRecord;
  readonly low: FixRule;
  readonly high: FixRule;
  readonly other: FixRule;
};

async function newWorld(): Promise<World> {
  const lab = new FixLab();
  const { image } = await lab.importDirectory("image", root);
  const rule = (file: string): Promise<FixRule> => lab.makeRule(image, [file]);
  return { lab, image, low: await rule(lowFile), high: await rule(highFile), other: await rule(otherFile) };
}

/** As `fix plan` and `fix apply`: adds a rule to those that the store has. */
function apply({ lab, image }: Pick<World, "lab" | "image">, rule: FixRule): void {
  const { store } = lab;
  const { molecule, fixes, results } = lab.evaluate(image, [...store.state.fixes.values(), rule]);
  expect(results.filter((result) => result.verdict === "block")).toEqual([]);
  const from = store.currentMolecule(image.config);
  const names = namesOf(store.state, image.config);
  const planned = { config: image.config, names, from, molecule, fixes, results, reason: "", changes: [] };
  const plan: FixPlan = {
    id: "0123456789ab",
    sequence: store.state.sequence,
    command: "test",
    rules: [rule],
    images: [{ ...planned, verdict: "apply" }],
    standing: [],
    notes: [],
    downloadedBytes: 0,
    timings: { repositoriesMs: 0, downloadMs: 0, composeMs: 0 },
  };
  applyFix(store, plan, NOW);
}

function current({ lab, image }: Pick<World, "lab" | "image">): VerityDigest {
  return lab.store.currentMolecule(image.config);
}

describe("fixes as a set", () => {
  test("the order of two fixes has no meaning, and the digests are those of another store", async () => {
    const a = await newWorld();
    using _a = a.lab;
    const b = await newWorld();
    using _b = b.lab;
    const unfixed = current(a);
    apply(a, a.low);
    const lowOnly = current(a);
    apply(a, a.other);
    apply(b, b.other);
    apply(b, b.low);
    expect(new Set([unfixed, lowOnly, current(a)]).size).toBe(3);
    expect(current(b)).toBe(current(a));
    expect(a.lab.evaluate(a.image, [a.low, a.other]).molecule).toBe(
      a.lab.evaluate(a.image, [a.other, a.low]).molecule,
    );
  });

  test("of two fixes for one package the higher version counts, whichever came first", async () => {
    const world = await newWorld();
    using _ = world.lab;
    const { lab, image, low, high } = world;
    const onlyHigh = lab.evaluate(image, [high]);
    expect(lab.evaluate(image, [low, high]).molecule).toBe(onlyHigh.molecule);
    expect(lab.evaluate(image, [high, low]).molecule).toBe(onlyHigh.molecule);
    expect(lab.evaluate(image, [low]).molecule).not.toBe(onlyHigh.molecule);
    apply(world, low);
    const withLow = current(world);
    apply(world, high);
    expect(current(world)).toBe(onlyHigh.molecule);
    expect(currentGeneration(lab.store.state, image.config)?.fixes).toEqual([high.id]);
    // The lower one was covered, not lost.
    revertFix(lab.store, high.id, "test", NOW);
    expect(current(world)).toBe(withLow);
  });

  test("revert gives back the molecules of before, in either order", async () => {
    for (const order of [0, 1]) {
      const world = await newWorld();
      using _ = world.lab;
      const { lab, low, other: second } = world;
      const unfixed = current(world);
      const tree = lab.molecule(unfixed);
      apply(world, low);
      const withLow = current(world);
      apply(world, second);
      const [first, last] = order === 0 ? [low, second] : [second, low];
      revertFix(lab.store, first.id, "test", NOW);
      if (order === 1) expect(current(world)).toBe(withLow);
      revertFix(lab.store, last.id, "test", NOW);
      expect(current(world)).toBe(unfixed);
      expect(lab.current(world.image.config)).toEqual(tree);
      expect(lab.store.state.fixes.size).toBe(0);
    }
  });

  test("an image that comes after a rule gets what it would have got before", async () => {
    const before = await newWorld();
    using _before = before.lab;
    apply(before, before.low);
    apply(before, before.other);

    using after = new FixLab();
    const marked = await markedRoot(after);
    const { image: first } = await after.importDirectory("first", marked);
    for (const file of [lowFile, otherFile])
      apply({ lab: after, image: first }, await after.makeRule(first, [file]));
    const { image, settled } = await after.importDirectory("image", root);
    expect(settled.refused).toEqual([]);
    expect(image.config).toBe(before.image.config);
    expect(current({ lab: after, image })).toBe(current(before));
  });

  test("a fix drops out of an image that has the version already, and one that doesn't fit stays away", async () => {
    const world = await newWorld();
    using _ = world.lab;
    const { lab, low } = world;
    apply(world, low);
    const newer = join(lab.newDirectory("newer"), "root");
    await copyDirectory(root, newer);
    await installSpecs(newer, debs, [spec("pkg", "3")]);
    const fixed = await lab.importDirectory("newer", newer);
    expect(fixed.settled).toMatchObject({ refused: [], evaluation: { fixes: [], changes: [] } });
    const changed = join(lab.newDirectory("changed"), "root");
    await copyDirectory(root, changed);
    writeFileSync(join(changed, "usr/pkg/f"), "patched by hand");
    const refused = await lab.importDirectory("changed", changed);
    expect(refused.settled.evaluation.fixes).toEqual([]);
    expect(refused.settled.refused.map((each) => each.fix)).toEqual([low.id]);
    expect(current({ lab, image: refused.image })).toBe(lab.evaluate(refused.image, []).molecule);
  });
});

/** The same image with one file more, so with another id. */
async function markedRoot(lab: FixLab): Promise<string> {
  const marked = join(lab.newDirectory("marked"), "root");
  await copyDirectory(root, marked);
  writeFileSync(join(marked, "marker"), "first");
  return marked;
}
