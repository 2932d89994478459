import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "./support/script-runner.ts";

const REPOSITORY = join(import.meta.dir, "..");
const SCRIPTS = join(import.meta.dir, "scripts");

/** A program `atomfs` for the PATH, so that scripts may call it from `sh -c` as well. */
function makePrograms(): string {
  const directory = mkdtempSync(join(tmpdir(), "atomfs-bin-"));
  const program = join(directory, "atomfs");
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${join(REPOSITORY, "src/main.ts")}' "$@"\n`);
  chmodSync(program, 0o755);
  return directory;
}

const programs = makePrograms();
afterAll(() => rmSync(programs, { recursive: true }));

const names = [...new Bun.Glob("**/*.txt").scanSync({ cwd: SCRIPTS })].sort();

test("there are scripts", () => {
  expect(names).not.toEqual([]);
});

for (const name of names) {
  test(name, async () => {
    await runScript(readFileSync(join(SCRIPTS, name), "utf8"), { path: [programs] });
  });
}
