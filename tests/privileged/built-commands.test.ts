import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const REPOSITORY = join(import.meta.dir, "../..");

let directory = "";

beforeAll(() => {
  const built = Bun.spawnSync([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY });
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  directory = mkdtempSync("/var/tmp/atomfs-built-");
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function call(argv: readonly [string, ...string[]], env: Readonly<Record<string, string>> = {}) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([join(REPOSITORY, "dist", argv[0]), ...argv.slice(1)], {
    cwd: directory,
    env: { PATH: process.env["PATH"], ...env },
  });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

// Bun loads both from the working directory unless it is told not to: code that somebody left there would run as root.
test.each(["atomfs", "crio-lxc"])("%s takes no configuration from the working directory", (command) => {
  writeFileSync(join(directory, "bunfig.toml"), 'preload = ["./left-here.ts"]\n');
  writeFileSync(join(directory, "left-here.ts"), 'require("node:fs").writeFileSync("has-run", "");\n');
  writeFileSync(join(directory, ".env"), "ATOMFS_ROOT=/left/here\n");
  expect(call([command, "--version"])).toMatchObject({ exitCode: 0 });
  expect(existsSync(join(directory, "has-run"))).toBe(false);
  expect(call(["atomfs", "images"]).stderr).not.toContain("/left/here");
});

test("crio-lxc is not ended by settings of other programs on Bun", () => {
  const { exitCode, stdout, stderr } = call(["crio-lxc", "--version"], { BUN_JSC_nothing: "1" });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toStartWith("crio-lxc version ");
});
