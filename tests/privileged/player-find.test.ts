import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Action } from "../../src/runtime/operations.ts";
import { START, shell, t } from "../support/player-actions.ts";
import { PlayerLab, programOf } from "../support/player-lab.ts";
import { patience } from "../support/slowness.ts";

let lab: PlayerLab;
beforeAll(async () => {
  lab = await PlayerLab.open();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

const DAC_OVERRIDE = 2n;

function find(
  name: string,
  more: Partial<Extract<Action, { readonly kind: "find-executable" }>> = {},
): Action {
  return {
    kind: "find-executable",
    name: t(name),
    searchPath: t("/nowhere:/usr/bin:/bin"),
    uid: 0,
    gid: 0,
    effective: 0n,
    groups: [],
    ...more,
  };
}

/** A program that only this mode, user and group may execute. */
const secret = (mode: string, owner: string): Action => ({
  kind: "run-hook",
  path: t("/bin/sh"),
  args: [
    t("sh"),
    t("-c"),
    t(`cp /bin/true /usr/bin/secret; chown ${owner} /usr/bin/secret; chmod ${mode} /usr/bin/secret`),
  ],
  env: [t("PATH=/usr/bin:/bin")],
  state: new Uint8Array(),
  timeoutMs: 0,
  name: t("hook"),
});

describe("find-executable", () => {
  const absent: readonly (readonly [string, string, number, string])[] = [
    ["missing", 'error 0 2 exec: "missing": executable file not found in $PATH', 127, "/nowhere:/usr/bin"],
    ["passwd", 'error 0 2 exec: "passwd": executable file not found in $PATH', 127, "/etc"],
    ["sh", 'error 0 2 exec: "sh": executable file not found in $PATH', 127, ""],
    ["", 'error 0 2 exec: "": executable file not found in $PATH', 127, "/usr/bin"],
    ["/none", 'error 0 2 exec: "/none": stat /none: no such file or directory', 127, "/usr/bin"],
    ["./none", 'error 0 2 exec: "./none": stat ./none: no such file or directory', 127, "/usr/bin"],
    ["/etc/passwd", 'error 0 13 exec: "/etc/passwd": permission denied', 126, "/usr/bin"],
    ["/etc", 'error 0 13 exec: "/etc": permission denied', 126, "/usr/bin"],
  ];
  test.each(absent)("%p fails before the container is ready", async (name, error, code, searchPath) => {
    const { events } = await lab.play(
      programOf(find(name, { searchPath: t(searchPath) }), START, shell("true")),
    );
    expect(events).toEqual([error, "control closed", `exit ${code}`]);
  });

  test.each([
    ["0700", "0:0", { uid: 33, gid: 33 }, false],
    ["0700", "0:0", { uid: 33, gid: 33, effective: DAC_OVERRIDE }, true],
    ["0700", "33:0", { uid: 33, gid: 33 }, true],
    ["0700", "33:0", { uid: 0, gid: 0 }, false],
    ["0700", "33:0", { uid: 0, gid: 0, effective: DAC_OVERRIDE }, true],
    ["0750", "0:44", { uid: 33, gid: 44 }, true],
    ["0750", "0:44", { uid: 33, gid: 33, groups: [7, 44] }, true],
    ["0750", "0:44", { uid: 33, gid: 33, groups: [7] }, false],
  ] as const)("a program of mode %s, owner %s, for %p: %p", async (mode, owner, user, found) => {
    const program = programOf(secret(mode, owner), find("/usr/bin/secret", user), START, shell("true"));
    const { events } = await lab.play(program);
    expect(events[0]).toBe(found ? "ready" : 'error 1 13 exec: "/usr/bin/secret": permission denied');
  });

  test("the player is itself again afterwards", async () => {
    const look =
      "grep -E '^(Uid|Gid|Groups|Cap)' /proc/self/status; cat /etc/shadow > /dev/null && echo reads";
    const proc: Action = {
      kind: "mount-filesystem",
      type: t("proc"),
      source: t("proc"),
      options: [],
      attributes: 0,
      path: t("/proc"),
      copyUp: false,
    };
    const groups: Action = { kind: "set-groups", groups: [7, 8] };
    const before = await lab.shown([proc, groups], look);
    const after = await lab.shown([proc, groups, find("sh", { uid: 33, gid: 44, groups: [5] })], look);
    expect(after).toBe(before);
    expect(after).toContain("reads");
  });

  test("in a user namespace", async () => {
    const { events } = await lab.play(
      programOf(find("sh", { uid: 33, gid: 33, groups: [5] }), START, shell("exit 3")),
      ["user"],
    );
    expect(events).toEqual(["ready", "control closed", "start closed", "exit 3"]);
  });
});
