import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Action } from "../../src/runtime/operations.ts";
import { absentOk, execute, PROC, START, shell, t } from "../support/player-actions.ts";
import { PlayerLab, programOf } from "../support/player-lab.ts";
import { patience } from "../support/slowness.ts";

const ENOSYS = 38;
const EDQUOT = 122;
let lab: PlayerLab;
beforeAll(async () => {
  lab = await PlayerLab.open();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

describe("identity and limits", () => {
  const NO_CAPABILITIES = { bounding: 0n, effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n };

  test("user, groups, the five capability sets, no new privileges", async () => {
    const output = await lab.shown(
      [
        PROC,
        { kind: "set-groups", groups: [7, 8] },
        {
          kind: "set-identity",
          uid: 1000,
          gid: 1001,
          capabilities: {
            bounding: 0x421n,
            effective: 0x401n,
            permitted: 0x421n,
            inheritable: 0x20n,
            ambient: 0x20n,
          },
        },
        { kind: "set-no-new-privileges" },
      ],
      "true",
    );
    expect(output).toBe("");
    const identity: Action = {
      kind: "set-identity",
      uid: 1000,
      gid: 1001,
      capabilities: {
        bounding: 0x421n,
        effective: 0x401n,
        permitted: 0x421n,
        inheritable: 0x20n,
        ambient: 0x20n,
      },
    };
    const { output: status } = await lab.play(
      programOf(
        PROC,
        START,
        { kind: "set-groups", groups: [7, 8] },
        identity,
        { kind: "set-no-new-privileges" },
        execute("grep", "-E", "^(Uid|Gid|Groups|Cap|NoNewPrivs)", "/proc/self/status"),
      ),
    );
    expect(status.trimEnd().split("\n")).toEqual([
      "Uid:\t1000\t1000\t1000\t1000",
      "Gid:\t1001\t1001\t1001\t1001",
      "Groups:\t7 8 ",
      "CapInh:\t0000000000000020",
      // After execve of a user that is not root only the ambient ones are left.
      "CapPrm:\t0000000000000020",
      "CapEff:\t0000000000000020",
      "CapBnd:\t0000000000000421",
      "CapAmb:\t0000000000000020",
      "NoNewPrivs:\t1",
    ]);
  });

  test("an ambient capability that is not inheritable is an error", async () => {
    const { events } = await lab.play(
      programOf({ kind: "set-identity", uid: 1, gid: 1, capabilities: { ...NO_CAPABILITIES, ambient: 1n } }),
    );
    expect(events[0]).toMatch(/^error 0 1 set-identity ambient capabilities: operation not permitted/);
  });

  test("root without capabilities, with its own in a user namespace", async () => {
    const nothing: Action = { kind: "set-identity", uid: 0, gid: 0, capabilities: NO_CAPABILITIES };
    expect(await lab.shown([PROC, nothing], "grep CapEff /proc/$$/status")).toBe("CapEff:\t0000000000000000");
  });

  test("umask, rlimits, personality, names, oom score, sysctl", async () => {
    const output = await lab.shown(
      [
        PROC,
        { kind: "set-umask", mask: 0o27 },
        { kind: "set-rlimit", resource: 7, soft: 100n, hard: 200n },
        { kind: "set-rlimit", resource: 4, soft: 0n, hard: 2n ** 64n - 1n },
        { kind: "set-personality", value: 8 },
        { kind: "set-hostname", name: t("a-host") },
        { kind: "set-domainname", name: t("a.domain") },
        { kind: "set-oom-score", value: 500 },
        { kind: "write-sysctl", key: t("net/ipv4/ip_forward"), value: t("1") },
        { kind: "write-sysctl", key: t("kernel/shmmni"), value: t("77") },
      ],
      "umask; ulimit -Sn; ulimit -Hn; ulimit -Hc; uname -mn; cat /proc/sys/kernel/domainname /proc/$$/oom_score_adj; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni",
    );
    expect(output.split("\n")).toEqual([
      "0027",
      "100",
      "200",
      "unlimited",
      "a-host i686",
      "a.domain",
      "500",
      "1",
      "77",
    ]);
  });

  test("a sysctl is not redirected by what lies over /proc (CVE-2025-52881)", async () => {
    const host = lab.newUpper();
    writeFileSync(join(host, "trap"), "");
    const { events } = await lab.play(
      programOf(
        PROC,
        { kind: "attach-mount", mount: 0, path: t("/proc/sys/kernel/shmmni"), create: "none" },
        { kind: "write-sysctl", key: t("kernel/shmmni"), value: t("78") },
        START,
        shell("true"),
      ),
      [`mount:${join(host, "trap")}`],
    );
    expect(events[0]).toBe("ready");
    expect(readFileSync(join(host, "trap"), "latin1")).toBe("");
    const outside = await lab.play(
      programOf({ kind: "write-sysctl", key: t("../../etc/passwd"), value: t("x") }),
    );
    expect(outside.events[0]).toMatch(/^error 0 (18|2) write-sysctl/);
  });

  test("seccomp: the filter works, its listener is handed out", async () => {
    // BPF_LD nr; BPF_JEQ 63 (uname on x86-64); BPF_RET ERRNO(7) or ALLOW.
    const filter = Buffer.from(
      "200000000000000015000001 3f000000 0600000007000500 060000000000ff7f".replaceAll(" ", ""),
      "hex",
    );
    const denied = await lab.play(
      programOf(START, { kind: "load-seccomp", filter, flags: 0 }, shell("uname 2>&1")),
    );
    expect(denied.output).toBe("uname: cannot get system name: Argument list too long\n");
    const listening = await lab.play(
      programOf(START, { kind: "load-seccomp", filter, flags: 8 }, shell("true")),
    );
    expect(listening.events).toContain("listener with descriptor");
  });

  test("seccomp: a filter that refuses all but the oldest calls refuses nothing of the player's", async () => {
    // BPF_LD nr; ERRNO(1) from 263 on: faccessat, close_range and all that is newer.
    const filter = Buffer.from(
      "2000000000000000 3500000107010000 0600000001000500 060000000000ff7f".replaceAll(" ", ""),
      "hex",
    );
    const identity: Action = { kind: "set-identity", uid: 0, gid: 0, capabilities: undefined };
    const { events, output } = await lab.play(
      programOf(START, { kind: "load-seccomp", filter, flags: 0 }, identity, execute("echo", "on")),
    );
    expect(events).toEqual(["ready", "control closed", "start closed", "exit 0"]);
    expect(output).toBe("on\n");
  });

  test("an LSM label that the kernel does not know is an error", async () => {
    const label: Action = { kind: "set-exec-label", lsm: "apparmor", label: t("none") };
    const { events } = await lab.play(programOf(START, label, shell("true")));
    expect(events[2]).toMatch(/^error 1 \d+ set-exec-label \d+\/attr\/apparmor\/exec to none: /);
  });

  test("without keyrings in the kernel there is none to leave; every other failure is one", async () => {
    // BPF_LD nr; BPF_JEQ 250 (keyctl on x86-64); BPF_RET ERRNO or ALLOW.
    const refusing = (errno: number): Action => ({
      kind: "load-seccomp",
      filter: Buffer.from(
        `200000000000000015000001fa00000006000000${errno.toString(16).padStart(2, "0")}000500060000000000ff7f`,
        "hex",
      ),
      flags: 0,
    });
    const keyring = absentOk({ kind: "set-session-keyring", name: t("of-this"), searchable: true });
    const played = async (errno: number): Promise<readonly string[]> =>
      (await lab.play(programOf(START, refusing(errno), keyring, shell("true")))).events;
    expect(await played(ENOSYS)).toEqual(["ready", "control closed", "start closed", "exit 0"]);
    expect((await played(EDQUOT))[2]).toMatch(
      /^error 2 122 set-session-keyring of-this: (disc|disk) quota exceeded/i,
    );
  });

  test("a session keyring of its own", async () => {
    expect(
      await lab.shown(
        [PROC, { kind: "set-session-keyring", name: t("of-this"), searchable: true }],
        "grep -c of-this /proc/keys",
      ),
    ).toBe("1");
  });
});
