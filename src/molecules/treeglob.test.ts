import { describe, expect, test } from "bun:test";
import { type ByteString, fromText, ROOT, type TreePath, treePath } from "../core/bytestring.ts";
import { childrenByDirectory, DEFAULT_ROOT, type Inode, type MutableTree } from "../core/tree.ts";
import { readLdSoConf } from "./ldsoconf.ts";
import { globTree, locate, matchesName } from "./treeglob.ts";

function treeOf(entries: Readonly<Record<string, { text: string } | { link: string } | "dir">>): MutableTree {
  const tree: MutableTree = new Map([[ROOT, DEFAULT_ROOT]]);
  for (const [path, entry] of Object.entries(entries)) {
    let inode: Inode = DEFAULT_ROOT;
    if (entry !== "dir") {
      inode =
        "link" in entry
          ? { ...DEFAULT_ROOT, type: "symlink", target: fromText(entry.link) }
          : { ...DEFAULT_ROOT, type: "file", content: { kind: "inline", bytes: fromText(entry.text) } };
    }
    tree.set(treePath(path), inode);
  }
  return tree;
}

function childrenOf(tree: MutableTree): (directory: TreePath) => readonly ByteString[] {
  const children = childrenByDirectory(tree);
  return (directory) => children.get(directory) ?? [];
}

const noObjects = (): never => {
  throw new Error("no objects here");
};

describe("matchesName", () => {
  test("follows the rules of glob(7)", () => {
    const matches = (pattern: string, name: string): boolean =>
      matchesName(fromText(pattern), fromText(name));
    expect(matches("*.conf", "a.conf")).toBe(true);
    expect(matches("*.conf", ".conf")).toBe(false);
    expect(matches(".*", ".conf")).toBe(true);
    expect(matches("a?c", "abc")).toBe(true);
    expect(matches("[!a]*", "abc")).toBe(false);
    expect(matches("[a-c][]x]", "b]")).toBe(true);
    expect(matches("[z-a]", "b")).toBe(false);
    expect(matches("[a", "[a")).toBe(true);
    expect(matches("\\*", "x")).toBe(false);
    expect(matches("\\*", "*")).toBe(true);
  });

  test("takes a hostile pattern in bounded time", () => {
    const pattern = fromText(`${"*a".repeat(2000)}b`);
    expect(matchesName(pattern, fromText("a".repeat(4000)))).toBe(false);
  });
});

test("globTree goes through links and sorts what it finds", () => {
  const tree = treeOf({
    "/real": "dir",
    "/real/b.conf": { text: "" },
    "/real/a.conf": { text: "" },
    "/link": { link: "real" },
  });
  const glob = (pattern: string): string[] => globTree(tree, childrenOf(tree), fromText(pattern));
  expect(glob("/link/*.conf")).toEqual(["/link/a.conf", "/link/b.conf"]);
  expect(glob("/l*/a.conf")).toEqual(["/link/a.conf"]);
  expect(glob("/none/*")).toEqual([]);
  expect(locate(tree, fromText("/link/../link//./a.conf"))).toBe(treePath("/real/a.conf"));
});

test("readLdSoConf ends though files include each other", () => {
  const tree = treeOf({
    "/etc": "dir",
    "/etc/ld.so.conf": { text: "/one\ninclude ld.so.*\ninclude /etc/ld.so.conf\n" },
    "/etc/ld.so.more": { text: "/two=libc6#\ninclude ld.so.conf" },
  });
  const directories = readLdSoConf(tree, childrenOf(tree), noObjects);
  expect(directories[0]).toEqual({ spelled: fromText("/one"), kind: "any" });
  expect(directories).toContainEqual({ spelled: fromText("/two"), kind: "libc6" });
  expect(directories.length).toBeLessThan(70_000);
});
