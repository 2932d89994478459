import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Action } from "../../src/runtime/operations.ts";
import { DEV, mountOf, node, PROC, t } from "../support/player-actions.ts";
import { PlayerLab, programOf } from "../support/player-lab.ts";
import { patience } from "../support/slowness.ts";

let lab: PlayerLab;
beforeAll(async () => {
  lab = await PlayerLab.open();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

describe("paths", () => {
  test("directories are made, also behind a dangling link, never outside", async () => {
    const upper = lab.newUpper();
    symlinkSync("/../../made/here", join(upper, "absolute"));
    mkdirSync(join(upper, "sub"));
    symlinkSync("../relative", join(upper, "sub/link"));
    await lab.shown(
      [
        { kind: "make-directory", path: t("/absolute/deep/er"), mode: 0o1777 },
        { kind: "make-directory", path: t("/sub/link/x"), mode: 0o700 },
        { kind: "make-directory", path: t("/../../../../up/x"), mode: 0o755 },
      ],
      "true",
      [],
      upper,
    );
    expect(statSync(join(upper, "made/here/deep/er")).mode & 0o7777).toBe(0o1777);
    expect(statSync(join(upper, "made/here/deep")).mode & 0o7777).toBe(0o755);
    expect(existsSync(join(upper, "relative/x"))).toBe(true);
    expect(existsSync(join(upper, "up/x"))).toBe(true);
    expect(existsSync("/made") || existsSync("/up")).toBe(false);
  });

  test("links in a circle end", async () => {
    const upper = lab.newUpper();
    symlinkSync("/b", join(upper, "a"));
    symlinkSync("/a", join(upper, "b"));
    const { events } = await lab.play(
      programOf({ kind: "make-directory", path: t("/a/x"), mode: 0o755 }),
      [],
      upper,
    );
    expect(events[0]).toMatch(/^error 0 40 /);
  });

  test("a link in place of /dev or /proc, or through /proc, leads to no write", async () => {
    const volume = lab.newUpper();
    const upper = lab.newUpper();
    symlinkSync("/volume", join(upper, "dev2"));
    symlinkSync("/volume", join(upper, "proc2"));
    const mount: Action = { kind: "attach-mount", mount: 0, path: t("/volume"), create: "dir" };
    for (const [action, errno] of [
      [node("/dev2/null", 3), 40],
      [{ kind: "make-symlink", path: t("/dev2/fd"), target: t("/proc/self/fd") }, 40],
      [mountOf("proc", "/proc2"), 40],
      [mountOf("sysfs", "/proc2"), 40],
      [{ kind: "make-directory", path: t("/proc/self/root/x"), mode: 0o755 }, 40],
      [{ kind: "change-directory", path: t("/proc/self/fd/0"), create: false }, 40],
    ] satisfies [Action, number][]) {
      const { events } = await lab.play(programOf(PROC, mount, action), [`mount:${volume}`], upper);
      expect(events[0]).toStartWith(`error 2 ${errno} ${action.kind}`);
    }
    expect(readdirSync(volume)).toEqual([]);
  });

  test("nodes and links", async () => {
    const output = await lab.shown(
      [
        ...DEV,
        node("/dev/deep/er/zero", 5),
        node("/dev/null", 3),
        {
          kind: "make-node",
          path: t("/dev/pipe"),
          type: "fifo",
          mode: 0o640,
          major: 0,
          minor: 0,
          uid: 3,
          gid: 4,
        },
        { kind: "make-symlink", path: t("/dev/link"), target: t("pts/ptmx") },
        { kind: "make-symlink", path: t("/dev/link"), target: t("pts/ptmx") },
      ],
      "stat -c '%n %F %a %u %g %t:%T' /dev/null /dev/deep/er/zero /dev/pipe; readlink /dev/link",
    );
    expect(output.split("\n")).toEqual([
      "/dev/null character special file 666 0 0 1:3",
      "/dev/deep/er/zero character special file 666 0 0 1:5",
      "/dev/pipe fifo 640 3 4 0:0",
      "pts/ptmx",
    ]);
  });

  test("a working directory, made if it is absent", async () => {
    expect(await lab.shown([{ kind: "change-directory", path: t("/new/work"), create: true }], "pwd")).toBe(
      "/new/work",
    );
  });
});
