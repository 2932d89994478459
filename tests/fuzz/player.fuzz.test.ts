import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { decodeProgram, encodeProgram } from "../../src/runtime/program-codec.ts";
import { run } from "../../src/sys/process.ts";
import { launchPrograms } from "../arbitrary/launch-program.ts";
import { fuzz } from "./harness.ts";

const MILLISECONDS = process.env["FUZZ_MS"] ?? "1500";
const SEED = process.env["TEST_SEED"] ?? "1";
const NATIVE = join(import.meta.dir, "../../native");

const corpus = fc.sample(launchPrograms, { numRuns: 60, seed: Number(SEED) }).map(encodeProgram);

fuzz("decodeProgram", corpus, (bytes) => {
  const decoded = decodeProgram(bytes);
  expect(decodeProgram(encodeProgram(decoded))).toEqual(decoded);
});

test(
  "fuzz: the player's decoder under ASAN and UBSan",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "atomfs-fuzz-"));
    try {
      const program = join(directory, "fuzz_decode");
      const sources = ["fuzz_decode.c", "program.c"].map((name) => join(NATIVE, name));
      const checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
      await run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", ...checks, ...sources, "-o", program]);
      const files = corpus.map((bytes, i) => {
        const file = join(directory, `${i}.program`);
        writeFileSync(file, bytes);
        return file;
      });
      const { stdout } = await run([program, MILLISECONDS, SEED, ...files]);
      const [, tried, accepted] = /^(\d+) tried, (\d+) accepted/.exec(stdout.toString()) ?? [];
      // Mutations that are all refused would test the header only.
      expect(Number(tried)).toBeGreaterThan(10_000);
      expect(Number(accepted)).toBeGreaterThan(Number(tried) / 50);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  Number(MILLISECONDS) + 60_000,
);
