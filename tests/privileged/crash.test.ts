import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { unmountAt } from "../../src/sys/mount.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";
import { atomfs, startAtomfs } from "../support/atomfs-program.ts";
import { makeWorld } from "../support/make-world.ts";
import { patience, repetitions } from "../support/slowness.ts";

/*
 * Commands are ended at many instants of their run; whatever the instant, the store must be one that fsck calls clean,
 * in the state of before or of after, and the same command must then succeed.
 */

/** Kills of each command; the instants are spread evenly over its run, so that more of them lie closer together. */
const KILLS = Number(process.env["ATOMFS_KILLS"] ?? repetitions(10));

let work = "";
let root = "";
let good = "";
let env: Record<string, string> = {};

beforeAll(async () => {
  work = mkdtempSync("/var/tmp/atomfs-crash-");
  root = join(work, "store");
  good = join(work, "good");
  await makeWorld(join(work, "world"));
  env = { ATOMFS_ROOT: root, ATOMFS_APT_ROOT: join(work, "world/machine") };
});
afterAll(() => {
  unmountAll();
  rmSync(work, { recursive: true, force: true });
  rmSync(runDirectoryOf(root), { recursive: true, force: true });
});

function mounts(): string[] {
  return readMountinfo()
    .map((mount) => mount.target)
    .filter((target) => target.startsWith(runDirectoryOf(root)) || target.startsWith(work));
}

function unmountAll(): void {
  for (const target of mounts()) unmountAt(target, { detach: true });
}

async function loopDevices(): Promise<number> {
  const { stdout } = await run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]);
  return stdout
    .toString()
    .split("\n")
    .filter((line) => line.startsWith(work)).length;
}

const image = (tag: string): string => `oci:${join(work, "world/images")}:${tag}`;

type Command = {
  readonly name: string;
  readonly args: () => readonly string[];
  /** What the store is before. */
  readonly prepare: () => Promise<void>;
};

const COMMANDS: readonly Command[] = [
  {
    name: "the first import",
    args: () => ["import", image("web")],
    prepare: async () => undefined,
  },
  {
    name: "an import beside others",
    args: () => ["import", image("legacy")],
    prepare: async () => {
      await atomfs(["import", image("web")], env);
      await atomfs(["import", image("db")], env);
      await atomfs(["fix", "demo", "--yes"], env);
    },
  },
  {
    name: "a fix",
    args: () => ["fix", "demo", "--yes"],
    prepare: async () => {
      await atomfs(["import", image("web")], env);
      await atomfs(["import", image("db")], env);
    },
  },
];

/** The state that people see: images, their molecules and fixes. No store, or half of one, is one without images. */
async function stateText(): Promise<string> {
  if (!hasStore()) return "[]";
  const { stdout } = await atomfs(["images", "--json"], env);
  return JSON.stringify(JSON.parse(stdout));
}

function hasStore(): boolean {
  return existsSync(join(root, "meta.json"));
}

type Expected = { readonly before: string; readonly after: string; readonly milliseconds: number };

/** Back to the prepared store. It has the same path each time, because mounts and leases go by it. */
function restore(): void {
  unmountAll();
  rmSync(root, { recursive: true, force: true });
  rmSync(runDirectoryOf(root), { recursive: true, force: true });
  if (existsSync(good))
    cpSync(good, root, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
}

async function expectations(command: Command): Promise<Expected> {
  unmountAll();
  rmSync(root, { recursive: true, force: true });
  rmSync(good, { recursive: true, force: true });
  await command.prepare();
  const before = await stateText();
  if (hasStore()) await atomfs(["unmount"], env);
  if (hasStore()) await run(["cp", "-a", root, good]);
  restore();
  const start = performance.now();
  await atomfs(command.args(), env);
  const milliseconds = performance.now() - start;
  const after = await stateText();
  if (after === before) throw new Error("the command changes nothing, so its crash proves nothing");
  return { before, after, milliseconds };
}

/** All that must hold however a command ended. @returns the state it left */
async function checkStore(expected: Expected): Promise<"before" | "after"> {
  const state = await stateText();
  expect([expected.before, expected.after]).toContain(state);
  if (hasStore()) {
    await atomfs(["fsck"], env);
    await atomfs(["gc"], env);
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
    await atomfs(["fsck"], env);
    expect(await stateText()).toBe(state);
  }
  // Mounted is nothing but molecules of the store at their places.
  const molecules = hasStore() ? readdirSync(join(root, "molecules")) : [];
  for (const target of mounts())
    expect(
      molecules.map((name) => join(runDirectoryOf(root), "mounts", name.replace(".erofs", ""))),
    ).toContain(target);
  expect(await loopDevices()).toBe(0);
  return state === expected.before ? "before" : "after";
}

async function checkNextRun(command: Command, expected: Expected): Promise<void> {
  await atomfs(command.args(), env);
  expect(await stateText()).toBe(expected.after);
  await atomfs(["fsck"], env);
  await atomfs(["gc"], env);
  await atomfs(["unmount"], env);
  expect(mounts()).toEqual([]);
}

function instants(milliseconds: number): number[] {
  return Array.from({ length: KILLS }, (_, index) => ((index + 0.5) / KILLS) * milliseconds * 1.1);
}

for (const command of COMMANDS) {
  describe(command.name, () => {
    let expected: Expected = { before: "", after: "", milliseconds: 0 };
    beforeAll(async () => {
      expected = await expectations(command);
    });

    test(
      "killed at many instants",
      async () => {
        const seen = { before: 0, after: 0 };
        for (const delay of instants(expected.milliseconds)) {
          restore();
          const program = startAtomfs(command.args(), env);
          await Bun.sleep(delay);
          program.kill("SIGKILL");
          await program.ended;
          seen[await checkStore(expected)] += 1;
          await checkNextRun(command, expected);
        }
        expect(seen.before).toBeGreaterThan(0);
      },
      patience(600_000),
    );

    test(
      "interrupted at many instants",
      async () => {
        for (const delay of instants(expected.milliseconds)) {
          restore();
          const program = startAtomfs(command.args(), env);
          await Bun.sleep(delay);
          program.kill("SIGINT");
          const { code, signal, stderr } = await program.ended;
          // Before the program's first line the signal ends the process itself; at the end there is nothing to stop.
          if (signal === null) {
            expect([0, 130]).toContain(code);
            if (code === 130) expect(stderr).toContain("Stopped by SIGINT");
            if (hasStore()) expect(readdirSync(join(root, "tmp"))).toEqual([]);
          } else expect(signal).toBe("SIGINT");
          const state = await checkStore(expected);
          if (signal === null && code === 0) expect(state).toBe("after");
          await checkNextRun(command, expected);
        }
      },
      patience(600_000),
    );
  });
}
