import { chownSync, linkSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { compareCases } from "../support/dpkg-case-suite.ts";
import { CONF, v1, v2, write } from "../support/make-deb.ts";

compareCases("the fixed molecule is what dpkg makes of the same image", {
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
});
