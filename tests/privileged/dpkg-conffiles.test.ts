import { chmodSync, chownSync, mkdirSync, renameSync, symlinkSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { compareCases } from "../support/dpkg-case-suite.ts";
import { CONF, v1, v2, write } from "../support/make-deb.ts";

compareCases("conffiles of the fixed molecule are what dpkg makes of the same image", {
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
});
