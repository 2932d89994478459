import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type DpkgCase, runDpkgCase } from "../support/dpkg-case.ts";
import { useSmallRoot } from "../support/dpkg-case-suite.ts";
import { CONF, v1, v2, write } from "../support/make-deb.ts";
import { patience } from "../support/slowness.ts";

const world = useSmallRoot();

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
    test(
      name,
      async () => {
        const { results } = await runDpkgCase(world.lab, world.smallRoot, each);
        const blocking = results.filter((result) => result.verdict === "block");
        expect(blocking.map((result) => result.check) as string[]).toContain(each.check);
      },
      patience(60_000),
    );
  }
});

test(
  "what the image left out of a package is not brought back, and dpkg does otherwise only there",
  async () => {
    const { differences, results } = await runDpkgCase(world.lab, world.smallRoot, {
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
  },
  patience(60_000),
);
