import fc from "fast-check";
import { decodeDump, encodeDump } from "../../src/formats/erofs/dump.ts";
import { objectsOf, readErofs } from "../../src/formats/erofs/reader.ts";
import { writeErofs } from "../../src/formats/erofs/writer.ts";
import { anyTree } from "../arbitrary/tree.ts";
import { fuzz } from "./harness.ts";

const TREES = fc.sample(anyTree, { seed: 7, numRuns: 40 }).filter((tree) => tree.size < 60);
/** Whiteouts 00 to ff fill a fresh image; with all names taken, mutations meet the interesting parts. */
const IMAGES = TREES.map((tree) => writeErofs(tree));

fuzz("readErofs", IMAGES, (image) => {
  objectsOf(image);
  // What is read can be written and is the same tree again.
  const tree = readErofs(image);
  if (readErofs(writeErofs(tree)).size !== tree.size)
    throw new Error("Tree changed on its way through an image");
});

fuzz(
  "decodeDump",
  TREES.map((tree) => Buffer.from(encodeDump(tree))),
  (text) => {
    const tree = decodeDump(text);
    if (decodeDump(Buffer.from(encodeDump(tree))).size !== tree.size) throw new Error("Tree changed");
  },
);
