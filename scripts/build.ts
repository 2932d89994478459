/**
 * Makes dist/: src/main.ts and the Bun runtime as one executable `atomfs`, its other name `crio-lxc`, and (where a C compiler is
 * installed) the `player` that crio-lxc needs beside it.
 */
import { existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";

const REPOSITORY = join(import.meta.dir, "..");
const OUTPUT = join(REPOSITORY, "dist/atomfs");

mkdirSync(join(REPOSITORY, "dist"), { recursive: true });
try {
  await Bun.build({
    entrypoints: [join(REPOSITORY, "src/main.ts")],
    compile: { outfile: OUTPUT },
    minify: { syntax: true, whitespace: true },
    // Compiled ahead: a start takes half the time.
    bytecode: true,
    format: "esm",
    // What is imported when it is needed is a file of its own, which is not even looked at before.
    splitting: true,
  });
  const otherName = join(REPOSITORY, "dist/crio-lxc");
  if (!existsSync(otherName)) symlinkSync("atomfs", otherName);
  buildPlayer(join(REPOSITORY, "dist/player"));
  console.log(OUTPUT);
} catch (error) {
  const causes = error instanceof AggregateError ? error.errors : [error];
  for (const cause of causes) console.error(`error: Cannot build dist/atomfs: ${cause}`);
  process.exitCode = 1;
}

function buildPlayer(output: string): void {
  if (Bun.which("gcc") === null) {
    rmSync(output, { force: true });
    console.error("note: gcc is not installed, so dist/player is not made: crio-lxc needs it");
    return;
  }
  const { exitCode, stderr } = Bun.spawnSync(["sh", join(REPOSITORY, "native/build.sh"), output]);
  if (exitCode !== 0) throw new Error(`native/build.sh: ${stderr.toString()}`);
}
