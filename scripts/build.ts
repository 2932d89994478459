/**
 * Makes dist/: src/main.ts and the Bun runtime as one executable `atomfs`, `crio-lxc`, which starts it by its other name, and the
 * `player` that crio-lxc needs beside it. The last two take a C compiler. What was made of the same sources is kept.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileExecutable } from "./compile.ts";

const REPOSITORY = join(import.meta.dir, "..");
const OUTPUT = join(REPOSITORY, "dist/atomfs");

/** Says of which sources dist/ was made. */
const MADE_OF = join(REPOSITORY, "dist/.made-of");

mkdirSync(join(REPOSITORY, "dist"), { recursive: true });
try {
  const sources = digestOfSources();
  if (!isMadeOf(sources)) {
    rmSync(MADE_OF, { force: true });
    await buildAll();
    writeFileSync(MADE_OF, sources);
  }
  console.log(OUTPUT);
} catch (error) {
  const causes = error instanceof AggregateError ? error.errors : [error];
  for (const cause of causes) console.error(`error: Cannot build dist/atomfs: ${cause}`);
  process.exitCode = 1;
}

/** Of every file that the result depends on, and of the tools. */
function digestOfSources(): string {
  const hash = new Bun.CryptoHasher("sha256").update(`${Bun.version} ${Bun.which("gcc") !== null}\n`);
  const files = [...new Bun.Glob("{src,native}/**/*").scanSync({ cwd: REPOSITORY })]
    .filter((file) => !file.endsWith(".test.ts"))
    .concat("scripts/build.ts", "scripts/compile.ts", "package.json", "package-lock.json", "tsconfig.json")
    .sort();
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(REPOSITORY, file)))
      .update("\0");
  return hash.digest("hex");
}

function isMadeOf(sources: string): boolean {
  const made = ["atomfs", "crio-lxc", "player"].map((name) => join(REPOSITORY, "dist", name));
  if (![MADE_OF, ...made].every((file) => existsSync(file))) return false;
  return readFileSync(MADE_OF, "utf8") === sources;
}

async function buildAll(): Promise<void> {
  await compileExecutable(join(REPOSITORY, "src/main.ts"), OUTPUT);
  buildNative();
}

function buildNative(): void {
  const command = join(REPOSITORY, "dist/crio-lxc");
  if (Bun.which("gcc") === null) {
    rmSync(join(REPOSITORY, "dist/player"), { force: true });
    console.error("note: gcc is not installed, so dist/player is not made: crio-lxc needs it");
    // The same command, only slower.
    rmSync(command, { force: true });
    symlinkSync("atomfs", command);
    return;
  }
  compile("build.sh", join(REPOSITORY, "dist/player"));
  compile("build-crio-lxc.sh", command);
}

/** By rename: the file may be in use, and may have been a symlink. */
function compile(script: string, output: string): void {
  const made = `${output}.${process.pid}`;
  const { exitCode, stderr } = Bun.spawnSync(["sh", join(REPOSITORY, "native", script), made]);
  if (exitCode !== 0) throw new Error(`native/${script}: ${stderr.toString()}`);
  renameSync(made, output);
}
