import { join } from "node:path";
import { VULNERABLE_PACKAGE } from "../../scripts/demo/images.ts";
import { rebuildOrdinary } from "../../scripts/demo/rebuild.ts";
import { Story } from "../../scripts/demo/story.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";
import type { Bench } from "../bench.ts";
import type { Sample } from "../results.ts";
import { variantTag, writeVariants } from "../variants.ts";

const COMMAND = "atomfs fix, the whole command";
const COUNTS = [2, 10, 50] as const;
const QUICK_COUNTS = [2, 10] as const;
const ROUNDS = 5;

type FixAnswer = {
  readonly fixes: readonly { readonly id: string }[];
  readonly images: readonly { readonly verdict: string }[];
  readonly timings: {
    readonly fixMs: number;
    readonly composeMs: number;
    readonly applyMs: number;
    readonly deployMs: number;
    readonly repositoriesMs: number;
    readonly downloadMs: number;
  };
};

/**
 * The same fix of 2, 10 and 50 images. Each round starts from a copy of a store that never had the fix, with the index and the
 * package in its cache (from the main store), then undoes it and does it again. The ordinary rebuild runs between the sizes.
 */
export async function fixCase(bench: Bench): Promise<void> {
  const { place } = bench;
  const counts = bench.isQuick ? QUICK_COUNTS : COUNTS;
  const layout = place.newPath("variants");
  writeVariants(bench.images.web, layout, Math.max(...counts));
  const template = place.newStore("fix-template");
  const rebuilds: number[] = [];
  let imported = 0;
  for (const count of counts) {
    bench.say(`importing variants of web up to ${count}`);
    while (imported < count) {
      imported += 1;
      const tag = variantTag(imported);
      await bench.atomfs(template, ["import", `oci:${layout}:${tag}`, "--name", `${tag}:1.0`, "--no-deploy"]);
    }
    await run(["cp", "-a", join(place.root, "cache/."), join(template, "cache")], { signal: bench.signal });
    await bench.interleave(ROUNDS, [() => fixRound(bench, template, count)]);
    rebuilds.push(await rebuild(bench));
  }
  for (const count of counts) addRebuilds(bench, count, rebuilds);
}

function groupOf(count: number): string {
  return `Fix of ${count} images, index and package in the cache`;
}

async function fixRound(bench: Bench, template: string, count: number): Promise<void> {
  const root = bench.place.newStore("fix");
  await copyStore(bench, template, root);
  await bench.atomfs(root, ["deploy"]);
  await run(["sync"], { signal: bench.signal });
  const group = groupOf(count);
  const first = await fix(bench, root, count);
  bench.results.add(group, COMMAND, first.sample);
  addParts(bench, group, first.answer, count);
  const id = first.answer.fixes[0]?.id ?? "";
  const reverted = await bench.atomfs(root, ["fix", "revert", id]);
  const again = await fix(bench, root, count);
  bench.results.add(group, "atomfs fix again after the revert (molecules known)", again.sample);
  bench.results.add(group, "  the fix after download", { ms: again.answer.timings.fixMs });
  bench.results.add(group, "atomfs fix revert", reverted.sample);
  await bench.atomfs(root, ["unmount"]);
}

function addParts(bench: Bench, group: string, { timings }: FixAnswer, count: number): void {
  const add = (what: string, ms: number): void => bench.results.add(group, `  ${what}`, { ms });
  add("asking the repository whether its index is the newest", timings.repositoriesMs);
  add("reading the package", timings.downloadMs);
  add("compose, check, write", timings.composeMs);
  add("journal", timings.applyMs);
  add("mounts and image store", timings.deployMs);
  add("the last three together: the fix after download", timings.fixMs);
  add("that for each image", timings.fixMs / count);
}

async function fix(
  bench: Bench,
  root: string,
  count: number,
): Promise<{ readonly sample: Sample; readonly answer: FixAnswer }> {
  const { sample, stdout } = await bench.atomfs(root, ["--json", "fix", VULNERABLE_PACKAGE, "--yes"]);
  const answer = JSON.parse(stdout) as FixAnswer;
  const applied = answer.images.filter((image) => image.verdict === "apply").length;
  if (applied !== count)
    throw new AtomfsError("failed", `The fix went into ${applied} images, not into ${count}`);
  return { sample, answer };
}

/** Objects never change, so links to them do; everything else is copied. */
async function copyStore(bench: Bench, from: string, to: string): Promise<void> {
  const { signal } = bench;
  await run(["mkdir", "--mode=0700", to], { signal });
  await run(["cp", "-a", "--link", join(from, "objects"), to], { signal });
  await run(["cp", "-a", "--no-clobber", `${from}/.`, to], { signal });
}

async function rebuild(bench: Bench): Promise<number> {
  const { place, images, signal } = bench;
  bench.say("rebuilding web the ordinary way");
  const directory = place.newPath("rebuild");
  await run(["mkdir", directory]);
  const workplace = { directory, env: place.plainEnv };
  return await rebuildOrdinary(workplace, images.web.layout, images.web.tag, new Story(true), signal);
}

function addRebuilds(bench: Bench, count: number, rebuilds: readonly number[]): void {
  const what = `ordinary rebuild of 1 image, measured, times ${count} (calculated)`;
  for (const ms of rebuilds)
    bench.results.add(groupOf(count), what, { ms: ms * count }, { against: COMMAND });
  if (count !== QUICK_COUNTS[0]) return;
  for (const ms of rebuilds)
    bench.results.add("Ordinary rebuild", "buildah from, apt-get update, install, commit: 1 image", { ms });
}
