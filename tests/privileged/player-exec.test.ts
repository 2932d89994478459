import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { execute, mountOf, PROC, START, shell, t } from "../support/player-actions.ts";
import { PlayerLab, programOf } from "../support/player-lab.ts";
import { patience } from "../support/slowness.ts";

let lab: PlayerLab;
beforeAll(async () => {
  lab = await PlayerLab.open();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

describe("exec into a container", () => {
  const NEW = {
    ns: 0x20000,
    uts: 0x4000000,
    ipc: 0x8000000,
    user: 0x10000000,
    pid: 0x20000000,
    net: 0x40000000,
  };
  const ALL = NEW.ns | NEW.uts | NEW.ipc | NEW.pid | NEW.net;

  async function inContainer(options: readonly string[], use: (pid: string) => Promise<void>): Promise<void> {
    const target = programOf(
      PROC,
      { kind: "set-hostname", name: t("target") },
      START,
      shell("echo up; exec sleep 1000"),
    );
    const upper = lab.newUpper();
    await using child = lab.start(target, options, upper);
    await child.stderr.getReader().read();
    const [pid = ""] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "latin1").split(" ");
    expect(pid).toMatch(/^\d+$/);
    try {
      // What is looked at below is the program that the shell becomes.
      while (readFileSync(`/proc/${pid}/comm`, "latin1") !== "sleep\n") await Bun.sleep(1);
      await use(pid);
    } finally {
      process.kill(Number(pid), "SIGKILL");
      await child.exited;
    }
  }

  test.each([[[], ALL] as const, [["user"], ALL | NEW.user] as const])(
    "joins %p",
    async (options, namespaces) => {
      await inContainer(options, async (pid) => {
        const { events, output } = await lab.play(
          programOf(
            { kind: "await-launcher" },
            // Not after joining a user namespace: there the process's files in /proc belong to the host's root.
            { kind: "set-oom-score", value: 600 },
            { kind: "join-namespaces", pidfd: 0, namespaces },
            shell(
              "hostname; id -u; cat /proc/1/comm; readlink /proc/self/ns/pid; cat /proc/self/oom_score_adj; exit 5",
            ),
          ),
          ["join", `pidfd:${pid}`],
        );
        expect(events.slice().sort()).toEqual([
          "control closed",
          "exit 0",
          "exit 5",
          "pid known",
          "waiting 0",
        ]);
        expect(output.trimEnd().split("\n")).toEqual([
          "target",
          "0",
          "sleep",
          readlinkSync(`/proc/${pid}/ns/pid`),
          "600",
        ]);
      });
    },
  );

  test("an error after joining is reported", async () => {
    await inContainer([], async (pid) => {
      const { events } = await lab.play(
        programOf({ kind: "join-namespaces", pidfd: 0, namespaces: ALL }, execute("nonsense")),
        ["join", `pidfd:${pid}`],
      );
      expect(events[0]).toBe("pid known");
      expect(events).toContain('error 1 2 exec: "nonsense": executable file not found in $PATH');
      expect(events).toContain("exit 127");
    });
  });
});

test("in a user namespace: mounts, sysctls and an identity", async () => {
  const upper = lab.newUpper();
  const output = await lab.shown(
    [
      PROC,
      mountOf("tmpfs", "/mnt"),
      { kind: "write-sysctl", key: t("net/ipv4/ip_forward"), value: t("1") },
      { kind: "set-oom-score", value: 700 },
      { kind: "set-groups", groups: [3] },
      { kind: "set-identity", uid: 5, gid: 6, capabilities: undefined },
    ],
    "id -u; id -G; cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj",
    ["user"],
    upper,
  );
  expect(output.split("\n")).toEqual(["5", "6 3", "1", "700"]);
  expect(lstatSync(upper).uid).toBe(100_000);
});
