import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Action } from "../../src/runtime/operations.ts";
import { encodeProgram } from "../../src/runtime/program-codec.ts";
import { absentOk, execute, mountOf, node, PROC, START, shell, t } from "../support/player-actions.ts";
import { PlayerLab, programOf } from "../support/player-lab.ts";
import { patience } from "../support/slowness.ts";

let lab: PlayerLab;
beforeAll(async () => {
  lab = await PlayerLab.open();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

describe("errors", () => {
  const cases: readonly (readonly [string, Action, RegExp])[] = [
    [
      "directory",
      { kind: "make-directory", path: t("/etc/passwd/x"), mode: 0o755 },
      /error 1 20 make-directory \/etc\/passwd\/x: not a directory/,
    ],
    [
      "filesystem option",
      mountOf("tmpfs", "/mnt", { size: "wrong" }),
      /error 1 22 mount-filesystem \/mnt: size.*\(tmpfs: Bad value for 'size'\): invalid/,
    ],
    [
      "filesystem",
      mountOf("nonsense", "/mnt"),
      /error 1 19 mount-filesystem \/mnt: nonsense: no such device/,
    ],
    [
      "sysctl",
      { kind: "write-sysctl", key: t("net/nonsense"), value: t("1") },
      /error 1 2 write-sysctl sys\/net\/nonsense: no such file/,
    ],
    [
      "path",
      { kind: "set-mount-attributes", path: t("/none"), attributes: { set: 1, clear: 0, recursive: false } },
      /error 1 2 set-mount-attributes \/none: no such file/,
    ],
    [
      "no mount",
      { kind: "set-mount-attributes", path: t("/etc"), attributes: { set: 1, clear: 0, recursive: false } },
      /error 1 22 /,
    ],
    [
      "present node",
      node("/etc/passwd", 3),
      /error 1 17 make-node \/etc\/passwd is something else: file exists/,
    ],
    [
      "seccomp",
      { kind: "load-seccomp", filter: new Uint8Array(7), flags: 0 },
      /error 1 22 load-seccomp a filter of 7 bytes/,
    ],
  ];
  test.each(cases)("%s", async (_, action, expected) => {
    const { events, output } = await lab.play(programOf(PROC, action, START, shell("true")));
    expect(events[0]).toMatch(expected);
    expect(events.slice(1)).toEqual(["control closed", "exit 1"]);
    expect(output).toBe("");
  });

  const executions: readonly (readonly [Action, string, number])[] = [
    [execute("nonsense"), 'error 1 2 exec: "nonsense": executable file not found in $PATH', 127],
    [execute("/nonsense"), 'error 1 2 exec: "/nonsense": no such file or directory', 127],
    [execute("/etc"), 'error 1 13 exec: "/etc": permission denied', 126],
    [execute("/etc/passwd"), 'error 1 13 exec: "/etc/passwd": permission denied', 126],
    [execute("/etc/passwd/x"), 'error 1 20 exec: "/etc/passwd/x": not a directory', 127],
    [execute(""), 'error 1 2 exec: "": executable file not found in $PATH', 127],
  ];
  test.each(executions)("%p", async (action, error, code) => {
    const { events, output } = await lab.play(programOf(START, action));
    expect(events).toEqual(["ready", "control closed", error, "start closed", `exit ${code}`]);
    expect(output).toBe("");
  });

  test("ignored if absent, warned of, or neither", async () => {
    const mask: Action = { kind: "mask-path", path: t("/none/at/all") };
    expect(
      await lab.shown([absentOk(mask), absentOk({ ...mask, path: t("/etc/passwd/x") })], "echo on"),
    ).toBe("on");
    const warned = await lab.play(programOf({ does: mask, onError: "warn" }, START, shell("true")));
    expect(warned.events[0]).toMatch(/^warning 0 2 mask-path \/none\/at\/all: no such file/);
    expect(warned.events.at(-1)).toBe("exit 0");
    // /dev/null is missing, not the path itself.
    const other = await lab.play(
      programOf(mountOf("tmpfs", "/dev"), absentOk({ kind: "mask-path", path: t("/etc/passwd") })),
    );
    expect(other.events[0]).toMatch(/^error 1 2 mask-path \/etc\/passwd: make its mask/);
  });

  test("a program that breaks its format, is not sealed, or has no end", async () => {
    const good = encodeProgram(programOf(START, shell("true")));
    const bad = Uint8Array.from(good);
    bad[24] = 99;
    expect((await lab.play(bad)).events[0]).toMatch(
      /^error -1 74 launch program the program breaks its format/,
    );
    expect((await lab.play(good, ["unsealed"])).events[0]).toMatch(/^error -1 1 .* not sealed/);
    expect((await lab.play(programOf(START))).events[2]).toMatch(/does not end in execute/);
    const passes: Action = { ...execute("true"), descriptors: [0] } as Action;
    expect((await lab.play(programOf(passes))).events[0]).toMatch(/^error -1 9 .* descriptor 7 is missing/);
  });
});
