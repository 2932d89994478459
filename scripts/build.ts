/** Compiles src/main.ts and the Bun runtime into one executable, dist/atomfs. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";

const REPOSITORY = join(import.meta.dir, "..");
const OUTPUT = join(REPOSITORY, "dist/atomfs");

mkdirSync(join(REPOSITORY, "dist"), { recursive: true });
try {
  await Bun.build({
    entrypoints: [join(REPOSITORY, "src/main.ts")],
    compile: { outfile: OUTPUT },
    minify: { syntax: true, whitespace: true },
    sourcemap: "inline",
  });
  console.log(OUTPUT);
} catch (error) {
  const causes = error instanceof AggregateError ? error.errors : [error];
  for (const cause of causes) console.error(`error: Cannot build dist/atomfs: ${cause}`);
  process.exitCode = 1;
}
