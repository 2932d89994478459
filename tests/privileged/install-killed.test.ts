import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fingerprintOf } from "../../src/engines/setup/files-on-disk.ts";
import { ATOMFS } from "../support/atomfs-program.ts";
import { patience } from "../support/slowness.ts";

/** `install` and `uninstall` killed by strace(1) as they enter each of the system calls that change the disk. Needs root and strace. */
const LIMIT_MS = patience(600_000);

let work = "";
let machine = "";

beforeAll(() => {
  work = mkdtempSync("/var/tmp/atomfs-install-killed-");
  machine = join(work, "machine");
  mkdirSync(join(machine, "etc/containers"), { recursive: true });
  writeFileSync(join(machine, "etc/containers/containers.conf"), "# mine\n");
  mkdirSync(join(work, "programs"));
  for (const name of ["atomfs", "crio-lxc", "player"]) writeFileSync(join(work, "programs", name), name);
});

afterAll(() => rmSync(work, { recursive: true }));

const INSTALL = ["install", "--podman", "--crio", "--programs"];

function argv(verb: "install" | "uninstall"): string[] {
  const words = verb === "install" ? [...INSTALL, join(work, "programs")] : [verb];
  return [...ATOMFS, ...words, "--destdir", machine];
}

function run(verb: "install" | "uninstall"): void {
  const { exitCode, stderr } = Bun.spawnSync(argv(verb));
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
}

/** @returns false if the program ended before its n-th call of this name */
function killed(verb: "install" | "uninstall", name: string, n: number): boolean {
  const inject = `inject=${name}:signal=KILL:when=${n}`;
  const trace = ["strace", "--quiet=all", "-o", "/dev/null", "-e", `trace=${name}`, "-e", inject];
  return Bun.spawnSync([...trace, ...argv(verb)]).exitCode !== 0;
}

function everything(): string[] {
  return readdirSync(machine, { recursive: true, encoding: "utf8" })
    .map((name) => {
      const stat = lstatSync(join(machine, name));
      const content = stat.isDirectory() ? "directory" : fingerprintOf(join(machine, name));
      return `${name} ${(stat.mode & 0o7777).toString(8)} ${content}`;
    })
    .sort();
}

/** Calls of this name, counted on a whole run. */
function countCalls(verb: "install" | "uninstall", name: string): number {
  const log = join(work, "strace");
  Bun.spawnSync(["strace", "--quiet=all", "-o", log, "-e", `trace=${name}`, ...argv(verb)]);
  return readFileSync(log, "latin1")
    .split("\n")
    .filter((line) => line.startsWith(`${name}(`)).length;
}

describe("killed at each", () => {
  for (const name of ["rename", "symlink", "mkdir"]) {
    test(
      `${name} of install: uninstall leaves nothing, and install again makes it whole`,
      () => {
        const before = everything();
        const count = countCalls("install", name);
        const whole = everything();
        run("uninstall");
        expect(everything()).toEqual(before);
        expect(count).toBeGreaterThan(2);
        // Most calls of mkdir find the directory.
        const step = name === "mkdir" ? 5 : 1;
        let kills = 0;
        for (let n = 1; n <= count; n += step) {
          if (killed("install", name, n)) kills++;
          run("uninstall");
          expect([n, everything()]).toEqual([n, before]);
          killed("install", name, n);
          run("install");
          expect([n, everything()]).toEqual([n, whole]);
          run("uninstall");
          expect([n, everything()]).toEqual([n, before]);
        }
        expect(kills).toBeGreaterThan(count / step / 2);
      },
      LIMIT_MS,
    );
  }

  for (const name of ["unlink", "rmdir"]) {
    test(
      `${name} of uninstall: uninstall again leaves nothing`,
      () => {
        const before = everything();
        run("install");
        const count = countCalls("uninstall", name);
        expect(everything()).toEqual(before);
        expect(count).toBeGreaterThan(2);
        let kills = 0;
        for (let n = 1; n <= count; n++) {
          run("install");
          if (killed("uninstall", name, n)) kills++;
          run("uninstall");
          expect([n, everything()]).toEqual([n, before]);
        }
        expect(kills).toBeGreaterThan(count / 2);
      },
      LIMIT_MS,
    );
  }
});
