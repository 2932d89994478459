import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fromText } from "../../src/core/bytestring.ts";
import type { Action, Operation } from "../../src/runtime/operations.ts";
import { encodeProgram } from "../../src/runtime/program-codec.ts";
import { PlayerLab, programOf } from "../support/player-lab.ts";

const RDONLY = 1;
const NOEXEC = 8;
const NOSUID_NODEV = 6;
const NOSUID = 2;
const PATH = fromText("PATH=/usr/sbin:/usr/bin:/sbin:/bin");

let lab: PlayerLab;
beforeAll(async () => {
  lab = new PlayerLab();
  await lab.prepare(process.env["PLAYER_BUILD"] === "sanitized" ? "sanitized" : "release");
}, 300_000);
afterAll(() => lab[Symbol.dispose]());

const t = fromText;
const START: Action = { kind: "await-start" };

function mountOf(type: string, path: string, options: Record<string, string> = {}): Action {
  return {
    kind: "mount-filesystem",
    type: t(type),
    source: t(type),
    options: Object.entries(options).map(([key, value]) => [t(key), t(value)] as const),
    attributes: type === "devpts" || path === "/dev" ? NOSUID : NOSUID_NODEV,
    path: t(path),
    copyUp: false,
  };
}

const PROC = mountOf("proc", "/proc");
const DEV: readonly Action[] = [
  mountOf("tmpfs", "/dev", { mode: "755" }),
  node("/dev/null", 3),
  mountOf("devpts", "/dev/pts", { newinstance: "", ptmxmode: "0666", mode: "0620" }),
];

function node(path: string, minor: number): Action {
  return {
    kind: "make-node",
    path: t(path),
    type: "char",
    mode: 0o666,
    major: 1,
    minor,
    uid: 0,
    gid: 0,
  };
}

function execute(...args: readonly string[]): Action {
  return { kind: "execute", args: args.map(t), env: [PATH], descriptors: [] };
}

function shell(script: string): Action {
  return execute("sh", "-c", script);
}

function absentOk(does: Action): Operation {
  return { does, onError: "ignore-absent" };
}

/** What a shell script prints after these operations. */
async function shown(
  before: readonly (Action | Operation)[],
  script: string,
  options: readonly string[] = [],
  upper?: string,
): Promise<string> {
  const { events, output } = await lab.play(programOf(...before, START, shell(script)), options, upper);
  expect(events).toEqual(["ready", "control closed", "start closed", "exit 0"]);
  return output.trimEnd();
}

describe("the life of an init", () => {
  test("its exit code and its signal are the player's own", async () => {
    const exits = await lab.play(programOf(START, shell("exit 42")));
    expect(exits.events).toEqual(["ready", "control closed", "start closed", "exit 42"]);
    const killed = await lab.play(programOf(START, shell("kill -KILL $$")), ["shared-pid"]);
    expect(killed.events.at(-1)).toBe("signal 9");
  });

  test("the process gets stdio only, default signals, and PID 1", async () => {
    const output = await shown(
      [PROC],
      "ls /proc/self/fd; echo $$; umask; exec grep -E 'SigBlk|SigIgn' /proc/self/status",
    );
    expect(output.split("\n")).toEqual([
      // 3 is the directory that ls reads.
      ...["0", "1", "2", "3"],
      "1",
      "0022",
      "SigBlk:\t0000000000000000",
      "SigIgn:\t0000000000000000",
    ]);
  });

  test("while it waits, it holds only what it needs and is not dumpable", async () => {
    await using child = lab.start(programOf(PROC, START, shell("true")), ["manual", "shared-pid"]);
    const events = child.stdout.getReader();
    await events.read();
    child.stdin.write("keep\n");
    await events.read();
    const [pid = ""] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "latin1").split(" ");
    const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    // Stdio, which is sockets here, the start socket, and the root.
    expect(targets.map((one) => one.replace(/\d+/, "N")).sort()).toEqual([
      "/",
      ...Array(4).fill("socket:[N]"),
    ]);
    expect(statSync(`/proc/${pid}/fd`).uid).toBe(0);
    expect(readlinkSync(`/proc/${pid}/exe`)).toBe("/memfd:sealed (deleted)");
    child.stdin.write("go\n");
    await child.exited;
  });

  test.each([1, 2, 3, 10, 15, 37])(
    "signal %d ends it while it waits, although it is PID 1",
    async (signal) => {
      expect(await talk([], ["keep", `kill ${signal}`])).toEqual([
        "ready",
        "control closed",
        `exit ${128 + signal}`,
      ]);
      // It need not be kept for that.
      expect(await talk([], [`kill ${signal}`])).toEqual(["ready", "control closed", `exit ${128 + signal}`]);
    },
  );

  test("its death by a signal is that signal where it is not PID 1", async () => {
    expect(await talk(["shared-pid"], ["keep", "kill 15"])).toEqual(["ready", "control closed", "signal 15"]);
  });

  test("it ends with a launcher that has not kept it", async () => {
    expect(await talk([], ["close"])).toEqual(["ready", "exit 1"]);
  });

  test("a connection without a word is forgotten; after go there is no second start", async () => {
    const sleeper = programOf(START, shell("sleep 0.5"));
    expect(await talk([], ["keep", "refuse", "go", "go"], sleeper)).toEqual([
      "ready",
      "control closed",
      "start closed",
      "connect: Connection refused",
      "exit 0",
    ]);
  });

  test("it waits for the launcher where the program says so", async () => {
    const program = programOf({ kind: "await-launcher" }, START, shell("true"));
    expect(await talk([], ["continue", "keep", "go"], program)).toEqual([
      "waiting 0",
      "ready",
      "control closed",
      "start closed",
      "exit 0",
    ]);
    expect(await talk([], ["close"], program)).toEqual(["waiting 0", "exit 1"]);
  });

  /** Says one word after each event, and one more as soon as an end was reported. */
  async function talk(
    options: readonly string[],
    words: readonly string[],
    program = programOf(START, shell("true")),
  ): Promise<string[]> {
    await using child = lab.start(program, ["manual", ...options]);
    const events: string[] = [];
    const left = [...words];
    let text = "";
    for await (const part of child.stdout) {
      text += Buffer.from(part).toString();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        events.push(line);
        const word = left.shift();
        if (word !== undefined) child.stdin.write(`${word}\n`);
        // Nothing is reported about a connection that says nothing.
        if (word === "refuse") child.stdin.write(`${left.shift()}\n`);
      }
    }
    await child.exited;
    return events;
  }
});

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
    [execute(""), 'error 1 2 exec: "": no such file or directory', 127],
  ];
  test.each(executions)("%p", async (action, error, code) => {
    const { events, output } = await lab.play(programOf(START, action));
    expect(events).toEqual(["ready", "control closed", error, "start closed", `exit ${code}`]);
    expect(output).toBe("");
  });

  test("ignored if absent, warned of, or neither", async () => {
    const mask: Action = { kind: "mask-path", path: t("/none/at/all") };
    expect(await shown([absentOk(mask), absentOk({ ...mask, path: t("/etc/passwd/x") })], "echo on")).toBe(
      "on",
    );
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

describe("paths", () => {
  test("directories are made, also behind a dangling link, never outside", async () => {
    const upper = lab.newUpper();
    symlinkSync("/../../made/here", join(upper, "absolute"));
    mkdirSync(join(upper, "sub"));
    symlinkSync("../relative", join(upper, "sub/link"));
    await shown(
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
    const output = await shown(
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
    expect(await shown([{ kind: "change-directory", path: t("/new/work"), create: true }], "pwd")).toBe(
      "/new/work",
    );
  });
});

describe("mounts", () => {
  test("attached from the host: a directory and a file, made where absent", async () => {
    const host = lab.newUpper();
    writeFileSync(join(host, "file"), "of the host\n");
    const output = await shown(
      [
        { kind: "attach-mount", mount: 0, path: t("/new/dir"), create: "dir" },
        { kind: "attach-mount", mount: 1, path: t("/new/file"), create: "file" },
        { kind: "attach-mount", mount: 2, path: t("/as/dir"), create: "as-mount" },
        { kind: "attach-mount", mount: 3, path: t("/as/file"), create: "as-mount" },
        {
          kind: "set-mount-attributes",
          path: t("/new/dir"),
          attributes: { set: RDONLY, clear: 0, recursive: true },
        },
      ],
      "cat /new/dir/file /new/file; cmp /as/dir/file /as/file; touch /new/dir/x 2>&1; echo more >> /new/file",
      [host, join(host, "file"), host, join(host, "file")].map((path) => `mount:${path}`),
    );
    expect(output).toBe("of the host\nof the host\ntouch: cannot touch '/new/dir/x': Read-only file system");
    expect(readFileSync(join(host, "file"), "latin1")).toBe("of the host\nmore\n");
  });

  test("filesystems with their options and attributes", async () => {
    const output = await shown(
      [
        PROC,
        mountOf("tmpfs", "/mnt", { size: "64k", mode: "711" }),
        { ...mountOf("sysfs", "/sys"), attributes: RDONLY | NOEXEC } as Action,
        mountOf("mqueue", "/dev/mqueue"),
        { ...mountOf("tmpfs", "/var/lib/apt"), keepMode: true } as Action,
        mountOf("tmpfs", "/media"),
      ],
      "stat -c '%a' /mnt /var/lib/apt /media; awk '$5 ~ /mnt|sys|mqueue/ { print $5, $6, $9 }' /proc/self/mountinfo",
    );
    expect(output.split("\n")).toEqual([
      "711",
      "755",
      "1777",
      "/mnt rw,nosuid,nodev,relatime tmpfs",
      "/sys ro,noexec,relatime sysfs",
      "/dev/mqueue rw,nosuid,nodev,relatime mqueue",
    ]);
  });

  test("propagation", async () => {
    const output = await shown(
      [
        PROC,
        mountOf("tmpfs", "/mnt"),
        { kind: "set-propagation", path: t("/mnt"), propagation: "shared", recursive: false },
        { kind: "set-propagation", path: t("/"), propagation: "unbindable", recursive: false },
      ],
      'awk \'$5 == "/" || $5 == "/mnt" { print $5, $7 }\' /proc/self/mountinfo',
    );
    expect(output).toMatch(/^\/ unbindable\n\/mnt shared:\d+$/);
  });

  test("a copy of what was there", async () => {
    const upper = lab.newUpper();
    for (const name of ["tree", "tree/sub"]) mkdirSync(join(upper, name));
    writeFileSync(join(upper, "tree/sub/file"), "x".repeat(200_000), { mode: 0o4751 });
    chownSync(join(upper, "tree/sub"), 5, 6);
    symlinkSync("sub/file", join(upper, "tree/link"));
    const output = await shown(
      [PROC, { ...mountOf("tmpfs", "/tree"), copyUp: true, attributes: RDONLY } as Action],
      "cd /tree; stat -f -c %T .; stat -c '%n %F %a %u:%g %s' sub sub/file; readlink link; touch x 2>&1; true",
      [],
      upper,
    );
    expect(output.split("\n")).toEqual([
      "tmpfs",
      "sub directory 755 5:6 60",
      "sub/file regular file 4751 0:0 200000",
      "sub/file",
      "touch: cannot touch 'x': Read-only file system",
    ]);
  });

  test("masked and read-only paths, a read-only root", async () => {
    const output = await shown(
      [
        PROC,
        ...DEV,
        ...["/etc/passwd", "/etc/apt", "/var/lib", "/usr/share"].map(
          (path): Action => ({ kind: "mask-path", path: t(path) }),
        ),
        { kind: "make-path-readonly", path: t("/proc/sys") },
        { kind: "make-root-readonly" },
      ],
      `wc -c < /etc/passwd; for d in /etc/apt /var/lib /usr/share; do ls -A $d | wc -l; stat -c %d $d; done | uniq -c | wc -l
       touch /etc/apt/x 2>&1; touch /new 2>&1; sh -c 'echo 1 > /proc/sys/kernel/domainname' 2>&1; touch /dev/ok && echo ok`,
    );
    expect(output.split("\n")).toEqual([
      "0",
      // 0 and one device number, three times.
      "6",
      "touch: cannot touch '/etc/apt/x': Read-only file system",
      "touch: cannot touch '/new': Read-only file system",
      "sh: 1: cannot create /proc/sys/kernel/domainname: Read-only file system",
      "ok",
    ]);
  });

  test("only the true /dev/null masks a file (CVE-2025-31133)", async () => {
    const mask: Action = { kind: "mask-path", path: t("/etc/passwd") };
    const linked = await lab.play(
      programOf(
        mountOf("tmpfs", "/dev"),
        { kind: "make-symlink", path: t("/dev/null"), target: t("/etc/shadow") },
        mask,
      ),
    );
    expect(linked.events[0]).toMatch(/^error 2 40 mask-path/);
    const wrong = await lab.play(programOf(mountOf("tmpfs", "/dev"), node("/dev/null", 5), mask));
    expect(wrong.events[0]).toMatch(/^error 2 19 mask-path/);
  });
});

describe("identity and limits", () => {
  const NO_CAPABILITIES = { bounding: 0n, effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n };

  test("user, groups, the five capability sets, no new privileges", async () => {
    const output = await shown(
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
    expect(await shown([PROC, nothing], "grep CapEff /proc/$$/status")).toBe("CapEff:\t0000000000000000");
  });

  test("umask, rlimits, personality, names, oom score, sysctl", async () => {
    const output = await shown(
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

  test("an LSM label that the kernel does not know is an error", async () => {
    const label: Action = { kind: "set-exec-label", lsm: "apparmor", label: t("none") };
    const { events } = await lab.play(programOf(START, label, shell("true")));
    expect(events[2]).toMatch(/^error 1 \d+ set-exec-label \d+\/attr\/apparmor\/exec: /);
  });

  test("a session keyring of its own", async () => {
    expect(
      await shown([PROC, { kind: "set-session-keyring", name: t("of-this") }], "grep -c of-this /proc/keys"),
    ).toBe("1");
  });
});

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
      "error 0 125 run-hook /bin/sh ended with exit code 3: why: operation canceled",
    ],
    ["signal", hook("kill -9 $$"), "error 0 125 run-hook /bin/sh ended with signal 9: operation canceled"],
    ["timeout", hook("sleep 60", 100), "error 0 110 run-hook /bin/sh: connection timed out"],
    [
      "absent",
      { ...hook(""), path: t("/none") } as Action,
      "error 0 2 run-hook /none: no such file or directory",
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
      shell("echo up; exec sleep 60"),
    );
    const upper = lab.newUpper();
    await using child = lab.start(target, options, upper);
    await child.stderr.getReader().read();
    const [pid = ""] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "latin1").split(" ");
    expect(pid).toMatch(/^\d+$/);
    try {
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
  const output = await shown(
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
