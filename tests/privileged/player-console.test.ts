import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Action } from "../../src/runtime/operations.ts";
import { DEV, mountOf, PATH, PROC, START, shell, t } from "../support/player-actions.ts";
import { PlayerLab, programOf } from "../support/player-lab.ts";
import { patience } from "../support/slowness.ts";

let lab: PlayerLab;
beforeAll(async () => {
  lab = await PlayerLab.open();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

describe("console, hooks, descriptors", () => {
  test("a terminal of the container", async () => {
    const program = programOf(
      PROC,
      ...DEV,
      { kind: "open-console", socket: 0, rows: 33, columns: 101, bindConsole: true },
      START,
      shell(
        "tty; stty size; readlink /proc/$$/fd/0; [ /dev/console -ef /dev/pts/0 ]; stat -c %t:%T /dev/console; : > /dev/tty && echo controlling",
      ),
    );
    const { events, output } = await lab.play(program, ["socket"]);
    expect(events).toContain("console /dev/ptmx");
    expect(events.at(-1)).toBe("exit 0");
    expect(output.replaceAll("\r", "").trimEnd().split("\n")).toEqual([
      "/dev/pts/0",
      "33 101",
      "/dev/pts/0",
      "88:0",
      "controlling",
    ]);
  });

  test("no devpts, no terminal", async () => {
    const open: Action = { kind: "open-console", socket: 0, rows: 0, columns: 0, bindConsole: false };
    const { events } = await lab.play(programOf(mountOf("tmpfs", "/dev/pts"), open), ["socket"]);
    expect(events).toContain("error 1 19 open-console /dev/pts is no devpts: no such device");
  });

  function hook(script: string, timeoutMs = 0): Action {
    const state = Buffer.from('{"status":"created"}');
    return {
      kind: "run-hook",
      path: t("/bin/sh"),
      args: [t("argv0"), t("-c"), t(script)],
      env: [PATH, t("A=b")],
      state,
      timeoutMs,
      name: t("startContainer hook #0"),
    };
  }

  test("a hook gets its state and environment, and nothing else", async () => {
    const { output } = await lab.play(
      programOf(
        PROC,
        START,
        hook("cat > /state; echo $0 $A >> /state; ls /proc/self/fd | xargs >> /state"),
        shell("cat /state"),
      ),
    );
    expect(output).toBe('{"status":"created"}argv0 b\n0 1 2 3\n');
  });

  test.each([
    [
      "exit code",
      hook("echo why >&2; exit 3"),
      "error 0 125 error running startContainer hook #0: /bin/sh: exit status 3, output: why",
    ],
    [
      "signal",
      hook("kill -9 $$"),
      "error 0 125 error running startContainer hook #0: /bin/sh: ended by signal 9",
    ],
    [
      "timeout",
      hook("sleep 60", 100),
      "error 0 125 error running startContainer hook #0: /bin/sh: hook ran past specified timeout of 0.1s",
    ],
    [
      "absent",
      { ...hook(""), path: t("/none") } as Action,
      "error 0 125 error running startContainer hook #0: /none: no such file or directory",
    ],
  ])("a hook that fails: %s", async (_, action, expected) => {
    expect((await lab.play(programOf(action))).events[0]).toBe(expected);
  });

  test("descriptors of the engine arrive as 3, 4, ... in their order", async () => {
    const directory = lab.newUpper();
    const files = Array.from({ length: 12 }, (_, i) => join(directory, `${i}`));
    for (const [i, file] of files.entries()) writeFileSync(file, `${i} `);
    const order = [11, 0, 5, 4, 3, 2, 1, 6, 7, 8, 9];
    const { output } = await lab.play(
      programOf(PROC, START, {
        kind: "execute",
        args: [
          "bash",
          "-c",
          "for i in 3 4 5 6 7 8 9 10 11 12 13; do cat <&$i; done; echo; ls /proc/self/fd | wc -l",
        ].map(t),
        env: [PATH],
        descriptors: order,
      }),
      files.map((file) => `file:${file}`),
    );
    expect(output).toBe(`${order.join(" ")} \n15\n`);
  });
});
