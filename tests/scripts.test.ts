import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runDirectoryOf } from "../src/mounts/molecule-mounts.ts";
import { unmountAt } from "../src/sys/mount.ts";
import { readMountinfo } from "../src/sys/mountinfo.ts";
import { runScript } from "./support/script-runner.ts";

const REPOSITORY = join(import.meta.dir, "..");
const SCRIPTS = join(import.meta.dir, "scripts");

/** Programs for the PATH, so that scripts may call them from `sh -c` as well. */
const PROGRAMS: Readonly<Record<string, string>> = {
  atomfs: "src/main.ts",
  "make-world": "tests/support/make-world.ts",
};

function makePrograms(): string {
  const directory = mkdtempSync(join(tmpdir(), "atomfs-bin-"));
  for (const [name, source] of Object.entries(PROGRAMS)) {
    const program = join(directory, name);
    writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${join(REPOSITORY, source)}' "$@"\n`);
    chmodSync(program, 0o755);
  }
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
    const directory = mkdtempSync("/var/tmp/atomfs-script-store-");
    const root = join(directory, "store");
    const run = runDirectoryOf(root);
    try {
      const env = { ATOMFS_ROOT: root };
      await runScript(readFileSync(join(SCRIPTS, name), "utf8"), { path: [programs], env });
      expect(mountsBelow(run)).toEqual([]);
    } finally {
      for (const target of mountsBelow(run)) unmountAt(target, { detach: true });
      rmSync(run, { recursive: true, force: true });
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

function mountsBelow(directory: string): string[] {
  return readMountinfo()
    .map((mount) => mount.target)
    .filter((target) => target.startsWith(directory));
}
