import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { parseVerityDigest } from "../../src/core/digest.ts";
import { childrenByDirectory, type Tree } from "../../src/core/tree.ts";
import { verityDigest } from "../../src/core/verity.ts";
import { decodeNodes, encodeDump } from "../../src/formats/erofs/dump.ts";
import { MAX_VERSION, MIN_VERSION } from "../../src/formats/erofs/layout.ts";
import { isWhiteout } from "../../src/formats/erofs/node.ts";
import { readErofs } from "../../src/formats/erofs/reader.ts";
import { writeErofs, writeNodes } from "../../src/formats/erofs/writer.ts";
import { run } from "../../src/sys/process.ts";
import { anyTree } from "../arbitrary/tree.ts";
import { type ComposefsTools, composefsTools } from "./composefs-tool.ts";

let tools: ComposefsTools;
let directory: string;

beforeAll(async () => {
  tools = await composefsTools();
  directory = mkdtempSync(join(tmpdir(), "atomfs-mkcomposefs-"));
}, 300_000);

afterAll(() => {
  if (directory !== undefined) rmSync(directory, { recursive: true });
});

async function mkcomposefs(dump: string): Promise<Uint8Array> {
  const file = join(directory, "dump");
  const image = join(directory, "image");
  writeFileSync(file, dump);
  await run([
    ...tools.mkcomposefs,
    `--min-version=${MIN_VERSION}`,
    `--max-version=${MAX_VERSION}`,
    "--from-file",
    file,
    image,
  ]);
  return readFileSync(image);
}

/** Where two images differ, so that a failure says more than "not equal". */
function firstDifference(a: Uint8Array, b: Uint8Array): string | undefined {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  if (at === -1 && a.length === b.length) return undefined;
  return `lengths ${a.length} and ${b.length}, first difference at ${at === -1 ? "the end" : at}`;
}

const SAMPLES: readonly Tree[] = fc.sample(anyTree, { seed: 20260901, numRuns: 250 });

describe("against the real mkcomposefs", () => {
  test("250 random trees give byte-identical images", async () => {
    let [links, whiteouts, largeDirectories] = [0, 0, 0];
    for (const [index, tree] of SAMPLES.entries()) {
      const ours = writeErofs(tree);
      const theirs = await mkcomposefs(encodeDump(tree));
      expect({ index, difference: firstDifference(ours, theirs) }).toEqual({ index, difference: undefined });
      links += tree.size - new Set(tree.values()).size;
      for (const inode of tree.values())
        if (inode.type === "char" && inode.major + inode.minor === 0) whiteouts++;
      for (const names of childrenByDirectory(tree).values())
        if (names.join("").length > 4096) largeDirectories++;
    }
    // The samples are worth something only if they hold what is hard.
    expect(links).toBeGreaterThan(100);
    expect(whiteouts).toBeGreaterThan(100);
    expect(largeDirectories).toBeGreaterThan(25);
  }, 120_000);

  test("its digest of an image is ours, and names the molecule", async () => {
    const tree = SAMPLES[7] as Tree;
    const file = join(directory, "digest-dump");
    writeFileSync(file, encodeDump(tree));
    const { stdout } = await run([...tools.mkcomposefs, "--print-digest-only", "--from-file", file]);
    expect(verityDigest(writeErofs(tree))).toBe(parseVerityDigest(stdout.toString().trim()));
  });

  test("we read its images", async () => {
    for (const tree of SAMPLES.slice(0, 60)) {
      expect(readErofs(await mkcomposefs(encodeDump(tree)))).toEqual(tree);
    }
  }, 60_000);

  test("composefs-info's dump of our image makes the same image again", async () => {
    // It forgets to take back the marks on directories that hold whiteouts.
    const trees = SAMPLES.filter((tree) => ![...tree.values()].some(isWhiteout)).slice(0, 60);
    expect(trees.length).toBeGreaterThan(20);
    for (const tree of trees) {
      const image = writeErofs(tree);
      const file = join(directory, "info");
      writeFileSync(file, image);
      const { stdout } = await run([...tools.composefsInfo, "dump", file]);
      expect(firstDifference(writeNodes(decodeNodes(stdout)), image)).toBeUndefined();
    }
  }, 60_000);

  test("fsck.erofs finds nothing wrong in ours, and something in a damaged one", async () => {
    const file = join(directory, "fsck.erofs");
    for (const tree of SAMPLES.slice(0, 40)) {
      writeFileSync(file, writeErofs(tree));
      await run(["fsck.erofs", file]);
    }
    const damaged = writeErofs(SAMPLES[0] as Tree).fill(0xff, 1152, 1400);
    writeFileSync(file, damaged);
    expect((await run(["fsck.erofs", file], { okCodes: [0, 1] })).code).toBe(1);
  }, 60_000);
});
