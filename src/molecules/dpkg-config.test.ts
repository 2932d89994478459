import { expect, test } from "bun:test";
import { type ByteString, fromText, ROOT, treePath } from "../core/bytestring.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, type Inode, type Tree } from "../core/tree.ts";
import { pathExcluder } from "./dpkg-config.ts";

function file(text: string): Inode {
  const content = { kind: "inline", bytes: fromText(text) } as const;
  return {
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { sec: 0, nsec: 0 },
    xattrs: EMPTY_XATTRS,
    content,
  };
}

function treeWith(files: Readonly<Record<string, string>>): Tree {
  const directories = ["/etc", "/etc/dpkg", "/etc/dpkg/dpkg.cfg.d"];
  return new Map([
    [ROOT, DEFAULT_ROOT],
    ...directories.map((path) => [treePath(path), { ...DEFAULT_ROOT }] as const),
    ...Object.entries(files).map(([path, text]) => [treePath(path), file(text)] as const),
  ]);
}

const excluder = (
  files: Readonly<Record<string, string>>,
): ((path: string, type?: Inode["type"]) => boolean) => {
  const isExcluded = pathExcluder(treeWith(files), () => new Uint8Array());
  return (path, type = "file") => isExcluded(path as ByteString, type);
};

test("an image without rules keeps everything", () => {
  expect(excluder({})("/usr/share/doc/x")).toBe(false);
});

test("the last rule that matches decides; drop-ins come before dpkg.cfg, in the order of their names", () => {
  const isExcluded = excluder({
    "/etc/dpkg/dpkg.cfg.d/b": "path-include /usr/share/doc/*/copyright\n# path-exclude=/usr/lib/*\n",
    "/etc/dpkg/dpkg.cfg.d/a": "path-exclude=/usr/share/doc/*\nno-debsig\n",
    "/etc/dpkg/dpkg.cfg.d/not.read": "path-exclude=/*\n",
    "/etc/dpkg/dpkg.cfg": 'path-exclude = "/usr/share/doc/secret/copyright"\n',
  });
  expect(isExcluded("/usr/share/doc/p/changelog")).toBe(true);
  expect(isExcluded("/usr/share/doc/p/copyright")).toBe(false);
  expect(isExcluded("/usr/share/doc/secret/copyright")).toBe(true);
  expect(isExcluded("/usr/lib/x")).toBe(false);
});

test("directories and symlinks stay that could lead to something included", () => {
  const rules = "path-exclude=/usr/share/*\npath-include=/usr/share/doc/*/copyright\n";
  const isExcluded = excluder({ "/etc/dpkg/dpkg.cfg.d/slim": rules });
  for (const type of ["dir", "symlink"] as const) {
    expect(isExcluded("/usr/share/doc/p", type)).toBe(false);
    expect(isExcluded("/usr/share/man", type)).toBe(true);
  }
  expect(isExcluded("/usr/share/doc/p")).toBe(true);
});
