import { readFileSync } from "node:fs";
import { readElf } from "../../src/formats/elf/elf.ts";
import { fuzz } from "./harness.ts";

const SEEDS = ["/bin/true", "/lib/x86_64-linux-gnu/libdl.so.2", "/lib/x86_64-linux-gnu/libm.so.6"].map(
  (path) => Uint8Array.from(readFileSync(path)),
);

fuzz("readElf", SEEDS, (bytes) => readElf(bytes));
