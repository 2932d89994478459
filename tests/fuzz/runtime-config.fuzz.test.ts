import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseRuntimeConfig } from "../../src/formats/oci/runtime-config/parse.ts";
import { fuzz } from "./harness.ts";

const FIXTURES = join(import.meta.dir, "..", "fixtures", "runtime");
const seeds = readdirSync(FIXTURES)
  .filter((name) => name.endsWith(".json"))
  .map((name) => readFileSync(join(FIXTURES, name)));

fuzz("config.json", seeds, parseRuntimeConfig);
