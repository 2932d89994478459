import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type DpkgCase, makeSmallRoot, runDpkgCase } from "../support/dpkg-case.ts";
import { FixLab } from "../support/fix-lab.ts";
import type { DebSpec } from "../support/make-deb.ts";

let lab: FixLab;
let smallRoot = "";
beforeAll(async () => {
  lab = new FixLab();
  smallRoot = lab.newDirectory("small-root");
  await makeSmallRoot(smallRoot);
}, 300_000);
afterAll(() => lab[Symbol.dispose]());

type Files = NonNullable<DebSpec["files"]>;
const v1 = (files: Files, more: Partial<DebSpec> = {}): DebSpec => ({
  name: "pkg",
  version: "1",
  files,
  ...more,
});
const v2 = (files: Files, more: Partial<DebSpec> = {}): DebSpec => ({
  name: "pkg",
  version: "2",
  files,
  ...more,
});
const CONF = { control: { conffiles: "/etc/a.conf\n" } };
const write =
  (path: string, text: string) =>
  (root: string): void =>
    writeFileSync(join(root, path), text);

/** Cases in which the fixed molecule is what dpkg makes, with the checks (if any) that warn. */
const EQUAL: Readonly<Record<string, DpkgCase & { readonly warns?: readonly string[] }>> = {
  "conffile: unedited, changed by the new version": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
  },
  "conffile: unedited, the same in the new version": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    fix: [v2({ "/etc/a.conf": "one\n" }, CONF)],
  },
  "conffile: unedited, with other owner and mode": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) => {
      chmodSync(join(root, "etc/a.conf"), 0o600);
      chownSync(join(root, "etc/a.conf"), 7, 8);
    },
    fix: [v2({ "/etc/a.conf": { text: "two\n", mode: 0o755 } }, CONF)],
  },
  "conffile: edited, changed by the new version": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: write("etc/a.conf", "mine\n"),
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
    warns: ["conffile"],
  },
  "conffile: edited with own mode, changed by the new version": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) => {
      write("etc/a.conf", "mine\n")(root);
      chmodSync(join(root, "etc/a.conf"), 0o600);
      chownSync(join(root, "etc/a.conf"), 7, 8);
    },
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
    warns: ["conffile"],
  },
  "conffile: edited, the same in the new version": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: write("etc/a.conf", "mine\n"),
    fix: [v2({ "/etc/a.conf": "one\n" }, CONF)],
  },
  "conffile: edited to what the new version ships": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: write("etc/a.conf", "two\n"),
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
  },
  "conffile: removed by the image, the same in the new version": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) => unlinkSync(join(root, "etc/a.conf")),
    fix: [v2({ "/etc/a.conf": "one\n" }, CONF)],
  },
  "conffile: removed by the image, changed by the new version": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) => unlinkSync(join(root, "etc/a.conf")),
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
    warns: ["conffile"],
  },
  "conffile: no longer there, edited or not": {
    installed: [
      v1(
        { "/etc/p/a.conf": "one\n", "/etc/p/b.conf": "b\n", "/etc/q/c": "c\n" },
        {
          control: { conffiles: "/etc/p/a.conf\n/etc/p/b.conf\n/etc/q/c\n" },
        },
      ),
    ],
    edit: (root) => {
      write("etc/p/a.conf", "mine\n")(root);
      unlinkSync(join(root, "etc/q/c"));
    },
    fix: [v2({ "/usr/x": "x" })],
  },
  "conffile: obsolete already, stays obsolete, then comes back": {
    installed: [
      v1({ "/etc/a.conf": "one\n" }, CONF),
      { name: "pkg", version: "1.5", files: { "/usr/x": "x" } },
    ],
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
  },
  "conffile: obsolete already and still": {
    installed: [
      v1({ "/etc/a.conf": "one\n" }, CONF),
      { name: "pkg", version: "1.5", files: { "/usr/x": "x" } },
    ],
    fix: [v2({ "/usr/x": "y" })],
  },
  "conffile: new, and the image has a file of that name": {
    installed: [v1({ "/usr/x": "x" })],
    edit: write("etc/a.conf", "mine\n"),
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
    warns: ["conffile"],
  },
  "conffile: new, and the image has the same file": {
    installed: [v1({ "/usr/x": "x" })],
    edit: write("etc/a.conf", "two\n"),
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
  },
  "conffile: was an ordinary file": {
    installed: [v1({ "/etc/a.conf": "one\n" })],
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
    warns: ["conffile"],
  },
  "conffile: becomes an ordinary file": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    fix: [v2({ "/etc/a.conf": "two\n" })],
  },
  "conffile: leftovers of earlier upgrades": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) => {
      for (const suffix of ["dpkg-dist", "dpkg-old", "dpkg-new", "dpkg-tmp"])
        write(`etc/a.conf.${suffix}`, suffix)(root);
    },
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
  },
  "conffile: leftovers beside one that stays": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) => {
      for (const suffix of ["dpkg-dist", "dpkg-old", "dpkg-new", "dpkg-tmp"])
        write(`etc/a.conf.${suffix}`, suffix)(root);
    },
    fix: [v2({ "/etc/a.conf": "one\n" }, CONF)],
  },
  "conffile: leftovers beside an edited one": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) => {
      write("etc/a.conf", "mine\n")(root);
      for (const suffix of ["dpkg-dist", "dpkg-old", "dpkg-new", "dpkg-tmp"])
        write(`etc/a.conf.${suffix}`, suffix)(root);
    },
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
    warns: ["conffile"],
  },
  "conffile: behind a symlink": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) => {
      mkdirSync(join(root, "srv"));
      renameSync(join(root, "etc/a.conf"), join(root, "srv/real"));
      symlinkSync("../srv/real", join(root, "etc/a.conf"));
    },
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
    warns: ["conffile"],
  },
  "conffile: edited behind a symlink": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) => {
      mkdirSync(join(root, "srv"));
      unlinkSync(join(root, "etc/a.conf"));
      write("srv/real", "mine\n")(root);
      symlinkSync("/srv/real", join(root, "etc/a.conf"));
    },
    fix: [v2({ "/etc/a.conf": "two\n" }, CONF)],
    warns: ["conffile"],
  },
  "conffile: to be removed on upgrade, unedited": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    fix: [v2({ "/usr/x": "x" }, { control: { conffiles: "remove-on-upgrade /etc/a.conf\n" } })],
  },
  "conffile: to be removed on upgrade, edited": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: write("etc/a.conf", "mine\n"),
    fix: [v2({ "/usr/x": "x" }, { control: { conffiles: "remove-on-upgrade /etc/a.conf\n" } })],
  },
  "files: added, removed, moved; directories made and removed": {
    installed: [
      v1({
        "/usr/a/b/c/gone": "g",
        "/usr/a/stays": "s",
        "/usr/old/moved": "m",
        "/usr/empty": { isDirectory: true },
      }),
    ],
    fix: [
      v2({
        "/usr/a/stays": "s2",
        "/usr/n/e/w": "w",
        "/usr/new/moved": "m",
        "/usr/bare": { isDirectory: true, mode: 0o2750, gid: 4 },
      }),
    ],
  },
  "files: directories that are not empty, or another package's, stay": {
    installed: [
      v1({ "/usr/a/gone": "g", "/usr/shared/gone": "g", "/usr/c/d/gone": "g" }),
      { name: "other", version: "1", files: { "/usr/shared": { isDirectory: true } } },
    ],
    edit: (root) => {
      write("usr/a/foreign", "f")(root);
      mkdirSync(join(root, "usr/c/foreign"));
    },
    fix: [v2({ "/usr/x": "x" })],
  },
  "files: an existing directory keeps its mode and owner": {
    installed: [v1({ "/usr/d": { isDirectory: true, mode: 0o755 }, "/usr/d/f": "f" })],
    edit: (root) => chownSync(join(root, "usr/d"), 5, 6),
    fix: [v2({ "/usr/d": { isDirectory: true, mode: 0o700 }, "/usr/d/f": "g" })],
  },
  "files: names with blanks, backslashes, bytes and dots": {
    installed: [
      v1({
        "/usr/a b": "1",
        "/usr/back\\slash": "2",
        "/usr/caf\u00e9": "3",
        "/usr/-x": "4",
        "/usr/.hid": "5",
      }),
    ],
    fix: [
      v2({
        "/usr/a b": "6",
        "/usr/back\\slash": "7",
        "/usr/caf\u00e9": "8",
        "/usr/-y": "9",
        "/usr/.hid2": "0",
      }),
    ],
  },
  "files: setuid, owners and modes change": {
    installed: [v1({ "/usr/s": { text: "s", mode: 0o755 }, "/usr/t": { text: "t", mode: 0o4755 } })],
    fix: [
      v2({ "/usr/s": { text: "s", mode: 0o4755, gid: 4 }, "/usr/t": { text: "t", mode: 0o755, uid: 33 } }),
    ],
  },
  "files: many times the same text, inline and in objects": {
    installed: [v1({ "/usr/a": "x".repeat(5000), "/usr/b": "x".repeat(64) })],
    fix: [v2({ "/usr/a": "x".repeat(64), "/usr/b": "x".repeat(65), "/usr/c": "x".repeat(65), "/usr/d": "" })],
  },
  "hard links: made, broken, moved": {
    installed: [v1({ "/usr/a": "one", "/usr/b": { hardlink: "/usr/a" }, "/usr/c": "c", "/usr/d": "d" })],
    fix: [
      v2({
        "/usr/a": "one",
        "/usr/b": "two",
        "/usr/c": "three",
        "/usr/d": { hardlink: "/usr/c" },
        "/usr/e": { hardlink: "/usr/c" },
      }),
    ],
  },
  "hard links: the image linked a packaged file elsewhere": {
    installed: [v1({ "/usr/a": "one" })],
    edit: (root) => linkSync(join(root, "usr/a"), join(root, "usr/mine")),
    fix: [v2({ "/usr/a": "two" })],
  },
  "symlinks: target changes, becomes a file, file becomes one": {
    installed: [
      v1({
        "/usr/t1": "1",
        "/usr/t2": "2",
        "/usr/l": { symlink: "t1" },
        "/usr/m": { symlink: "t1" },
        "/usr/n": "n",
      }),
    ],
    fix: [
      v2({
        "/usr/t1": "1",
        "/usr/t2": "2",
        "/usr/l": { symlink: "t2" },
        "/usr/m": "m",
        "/usr/n": { symlink: "t1" },
      }),
    ],
  },
  "symlinks: to a directory, to the same one, to nothing, absolute, upwards": {
    installed: [
      v1({
        "/usr/d/f": "f",
        "/usr/e/f": "f",
        "/usr/l": { symlink: "d" },
        "/usr/m": { symlink: "d" },
        "/usr/n": { symlink: "/nowhere" },
        "/usr/o": { symlink: "/usr/d" },
        "/usr/d/up": { symlink: "../e/f" },
      }),
    ],
    fix: [
      v2({
        "/usr/d/f": "g",
        "/usr/e/f": "f",
        "/usr/l": { symlink: "d" },
        "/usr/m": { symlink: "e" },
        "/usr/n": { symlink: "/nowhere2" },
        "/usr/o": { symlink: "../usr/d" },
        "/usr/d/up": { symlink: "/usr/d/f" },
      }),
    ],
  },
  "symlinks: a directory of the package is a symlink in the image": {
    installed: [v1({ "/usr/d/f": "f", "/usr/d/g": "g" })],
    edit: (root) => {
      mkdirSync(join(root, "data"));
      renameSync(join(root, "usr/d"), join(root, "data/d"));
      symlinkSync("/data/d", join(root, "usr/d"));
    },
    fix: [v2({ "/usr/d/f": "f2", "/usr/d/h": "h" })],
  },
  "symlinks: a symlink to a directory becomes a directory in the package": {
    installed: [v1({ "/usr/d/f": "f", "/usr/l": { symlink: "d" } })],
    fix: [v2({ "/usr/d/f": "f", "/usr/l": { isDirectory: true }, "/usr/l/new": "n" })],
  },
  "merged /usr: a file moves from /lib to /usr/lib": {
    installed: [v1({ "/lib/a": "a", "/lib/b": "b", "/usr/lib/c": "c" })],
    fix: [v2({ "/usr/lib/a": "a2", "/lib/b": "b2", "/lib/c": "c2" })],
  },
  "symlinks: a directory becomes a symlink in the package": {
    installed: [v1({ "/usr/d/f": "f", "/usr/e/g": "g" })],
    fix: [v2({ "/usr/e/g": "g2", "/usr/d": { symlink: "e" } })],
  },
  "symlinks: a symlink to nothing becomes a directory in the package": {
    installed: [v1({ "/usr/l": { symlink: "nothing" } })],
    fix: [v2({ "/usr/l/f": "f" })],
  },
  "symlinks: one to a file that no package has": {
    installed: [v1({ "/usr/l": { symlink: "/etc/generated" } })],
    edit: write("etc/generated", "made by a script"),
    fix: [v2({ "/usr/l": { symlink: "/etc/generated" }, "/usr/x": "x" })],
  },
  "the image has the new version's file already": {
    installed: [v1({ "/usr/a": "a" })],
    edit: (root) => {
      write("usr/a", "a2")(root);
      write("usr/b", "b2")(root);
    },
    fix: [v2({ "/usr/a": "a2", "/usr/b": { text: "b2", mode: 0o755 } })],
  },
  "diversions: another package's, the package's own, a local one": {
    installed: [v1({ "/usr/a": "a", "/usr/b": "b", "/usr/c": "c" })],
    edit: async (root) => {
      const { run } = await import("../../src/sys/process.ts");
      for (const [file, owner] of [
        ["/usr/a", "--package=other"],
        ["/usr/b", "--package=pkg"],
        ["/usr/c", "--local"],
      ] as const)
        await run(["dpkg-divert", `--root=${root}`, owner, "--rename", "--add", file]);
      write("usr/a", "other's")(root);
      write("usr/c", "mine")(root);
    },
    fix: [v2({ "/usr/a": "a2", "/usr/b": "b2", "/usr/c": "c2" })],
  },
  "statoverride: of a file, a new file, a directory, a conffile": {
    installed: [v1({ "/usr/a": "a", "/usr/d/x": "x", "/etc/a.conf": "one\n" }, CONF)],
    edit: (root) =>
      writeFileSync(
        join(root, "var/lib/dpkg/statoverride"),
        "root adm 4750 /usr/a\n#12 #34 600 /usr/new\nroot root 700 /usr/d\n#1 #2 1770 /usr/e\nroot adm 640 /etc/a.conf\n",
      ),
    fix: [
      v2(
        {
          "/usr/a": "a2",
          "/usr/new": "n",
          "/usr/d/x": "y",
          "/usr/e": { isDirectory: true },
          "/etc/a.conf": "two\n",
        },
        CONF,
      ),
    ],
  },
  "path-exclude: as slim images have it": {
    options: [
      "path-exclude=/usr/share/doc/*",
      "path-include=/usr/share/doc/*/copyright",
      "path-exclude=/usr/share/man/*",
    ],
    installed: [
      v1({
        "/usr/share/doc/pkg/copyright": "c",
        "/usr/share/doc/pkg/changelog": "l",
        "/usr/share/man/man1/x": "m",
        "/usr/x": "x",
      }),
    ],
    fix: [
      v2({
        "/usr/share/doc/pkg/copyright": "c2",
        "/usr/share/doc/pkg/changelog": "l2",
        "/usr/share/doc/pkg/NEWS": "n",
        "/usr/share/man/man1/x": "m2",
        "/usr/share/man/man2/y": "m",
        "/usr/share/doc/pkg-new/copyright": "c",
        "/usr/x": "y",
      }),
    ],
  },
  "database: Multi-Arch: same begins and ends, members come and go": {
    installed: [
      v1({ "/usr/a": "a" }, { control: { shlibs: "s 1 x\n", postinst: "#!/bin/sh\nset -e\nexit 0\n" } }),
      {
        name: "lib",
        version: "1",
        files: { "/usr/l": "l" },
        fields: ["Multi-Arch: same"],
        control: { symbols: "l\n" },
      },
    ],
    fix: [
      v2(
        { "/usr/a": "a2" },
        { fields: ["Multi-Arch: same", "Section: libs", "X-New: field"], control: { templates: "t\n" } },
      ),
      { name: "lib", version: "2", files: { "/usr/l": "l2" } },
    ],
  },
  "database: a package on hold, another one that is only removed": {
    installed: [
      v1({ "/usr/a": "a" }),
      {
        name: "rest",
        version: "1",
        files: { "/etc/r": "r", "/usr/r": "r" },
        control: { conffiles: "/etc/r\n" },
      },
    ],
    edit: async (root) => {
      const { run } = await import("../../src/sys/process.ts");
      await run(["dpkg", `--root=${root}`, "--remove", "rest"]);
    },
    fix: [v2({ "/usr/a": "a2" })],
  },
  "database: no md5sums in either version, with hard links": {
    installed: [v1({ "/usr/a": "a", "/usr/b": { hardlink: "/usr/a" } }, { noMd5sums: true })],
    fix: [
      v2(
        { "/usr/a": "a2", "/usr/b": { hardlink: "/usr/a" }, "/usr/l": { symlink: "a" } },
        { noMd5sums: true },
      ),
    ],
  },
  "database: no md5sums, and excluded paths": {
    options: ["path-exclude=/usr/share/doc/*"],
    installed: [v1({ "/usr/a": "a", "/usr/share/doc/b": "b" }, { noMd5sums: true })],
    fix: [v2({ "/usr/a": "a2", "/usr/share/doc/b": "b2" }, { noMd5sums: true })],
  },
  "two packages: a file moves to the one that is fixed later": {
    installed: [
      v1({ "/usr/a": "a" }),
      { name: "aaa", version: "1", files: { "/usr/m": "m", "/usr/o": "o" } },
    ],
    fix: [{ name: "aaa", version: "2", files: { "/usr/o": "o2" } }, v2({ "/usr/a": "a2", "/usr/m": "m2" })],
  },
  "two packages: a file moves to the one that is fixed first": {
    installed: [
      v1({ "/usr/a": "a" }),
      { name: "zzz", version: "1", files: { "/usr/m": "m", "/usr/o": "o" } },
    ],
    fix: [{ name: "zzz", version: "2", files: { "/usr/o": "o2" } }, v2({ "/usr/a": "a2", "/usr/m": "m2" })],
  },
  "two packages: both give up what they share": {
    installed: [
      v1({ "/usr/d/a": "a", "/usr/s": { isDirectory: true } }),
      { name: "other", version: "1", files: { "/usr/d/b": "b", "/usr/s": { isDirectory: true } } },
    ],
    fix: [v2({ "/usr/x": "x" }), { name: "other", version: "2", files: { "/usr/y": "y" } }],
  },
  "two packages, nothing moves": {
    installed: [
      v1({ "/usr/a": "a" }),
      { name: "other", version: "1", files: { "/usr/b": "b", "/usr/o": "o" } },
    ],
    fix: [v2({ "/usr/a": "a2" }), { name: "other", version: "2", files: { "/usr/o": "o2" } }],
  },
};

describe("the fixed molecule is what dpkg makes of the same image", () => {
  for (const [name, each] of Object.entries(EQUAL)) {
    test(name, async () => {
      const { differences, results } = await runDpkgCase(lab, smallRoot, each);
      expect(differences).toEqual([]);
      expect(results.filter((result) => result.verdict === "block").map((result) => result.reason)).toEqual(
        [],
      );
      expect([...new Set(results.map((result) => result.check))].sort() as string[]).toEqual([
        ...(each.warns ?? []),
      ]);
    }, 60_000);
  }
});

/** Cases in which a fix is refused: dpkg would overwrite or delete what the image made, or refuses too. */
const BLOCKED: Readonly<Record<string, DpkgCase & { readonly check: string }>> = {
  "a packaged file that the image changed": {
    installed: [v1({ "/usr/a": "a", "/usr/b": "b" })],
    edit: write("usr/a", "patched"),
    fix: [v2({ "/usr/a": "a2", "/usr/b": "b2" })],
    check: "shadowed",
  },
  "a packaged file that the image changed and the new version drops": {
    installed: [v1({ "/usr/a": "a", "/usr/b": "b" })],
    edit: write("usr/a", "patched"),
    fix: [v2({ "/usr/b": "b2" })],
    check: "shadowed",
  },
  "a file of the image where the new version brings one": {
    installed: [v1({ "/usr/a": "a" })],
    edit: write("usr/new", "mine"),
    fix: [v2({ "/usr/a": "a2", "/usr/new": "n" })],
    check: "shadowed",
  },
  "an edited conffile that becomes an ordinary file": {
    installed: [v1({ "/etc/a.conf": "one\n" }, CONF)],
    edit: write("etc/a.conf", "mine\n"),
    fix: [v2({ "/etc/a.conf": "two\n" })],
    check: "shadowed",
  },
  "a file where the new version has a directory": {
    installed: [v1({ "/usr/a": "a" })],
    edit: write("usr/d", "mine"),
    fix: [v2({ "/usr/d/f": "f" })],
    check: "shadowed",
  },
  "a directory where the new version has a file": {
    installed: [v1({ "/usr/d/f": "f" })],
    fix: [v2({ "/usr/d": "file" })],
    check: "conflict",
  },
  "a file of another package": {
    installed: [v1({ "/usr/a": "a" }), { name: "other", version: "1", files: { "/usr/o": "o" } }],
    fix: [v2({ "/usr/a": "a2", "/usr/o": "mine" })],
    check: "conflict",
  },
  "the symlink to merged /usr, when no package lists anything behind it any more": {
    installed: [v1({ "/lib/a": "a", "/lib/d/b": "b" })],
    fix: [v2({ "/usr/lib/a": "a2", "/usr/lib/d/b": "b2" })],
    check: "shadowed",
  },
  "a symlink that the new version drops, to a file that no package has": {
    installed: [v1({ "/usr/l": { symlink: "/etc/generated" } })],
    edit: write("etc/generated", "made by a script"),
    fix: [v2({ "/usr/x": "x" })],
    check: "shadowed",
  },
  "a dependency that nothing satisfies": {
    installed: [v1({ "/usr/a": "a" })],
    fix: [v2({ "/usr/a": "a2" }, { fields: ["Depends: missing (>= 2)"] })],
    check: "dependency",
  },
};

describe("a fix is refused for", () => {
  for (const [name, each] of Object.entries(BLOCKED)) {
    test(name, async () => {
      const { results } = await runDpkgCase(lab, smallRoot, each);
      const blocking = results.filter((result) => result.verdict === "block");
      expect(blocking.map((result) => result.check) as string[]).toContain(each.check);
    }, 60_000);
  }
});

test("what the image left out of a package is not brought back, and dpkg does otherwise only there", async () => {
  const { differences, results } = await runDpkgCase(lab, smallRoot, {
    installed: [v1({ "/usr/a": "a", "/usr/share/doc/p/x": "x", "/usr/share/doc/p/y": "y" })],
    edit: (root) => rmSync(join(root, "usr/share/doc"), { recursive: true }),
    fix: [v2({ "/usr/a": "a2", "/usr/share/doc/p/x": "x2", "/usr/share/doc/p/y": "y2" })],
  });
  expect(results.map((result) => result.check)).toEqual(["left-out"]);
  expect(differences).toEqual([
    "/usr/share/doc/p/x: missing: file",
    "/usr/share/doc/p/y: missing: file",
    "/usr/share/doc/p: missing: dir",
    "/usr/share/doc: missing: dir",
  ]);
}, 60_000);
