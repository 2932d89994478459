import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Action } from "../../src/runtime/operations.ts";
import { DEV, mountOf, NOEXEC, node, PROC, RDONLY, t } from "../support/player-actions.ts";
import { PlayerLab, programOf } from "../support/player-lab.ts";
import { patience } from "../support/slowness.ts";

let lab: PlayerLab;
beforeAll(async () => {
  lab = await PlayerLab.open();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

describe("mounts", () => {
  test("attached from the host: a directory and a file, made where absent", async () => {
    const host = lab.newUpper();
    writeFileSync(join(host, "file"), "of the host\n");
    const output = await lab.shown(
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
    const output = await lab.shown(
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
    const output = await lab.shown(
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
    const output = await lab.shown(
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
    const output = await lab.shown(
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
