import { expect, test } from "bun:test";
import { fromText, ROOT, treePath } from "./bytestring.ts";
import { pathResolver, resolvePath } from "./resolve.ts";
import { DEFAULT_ROOT, type Inode, type MutableTree } from "./tree.ts";

const attributes = { ...DEFAULT_ROOT };
const directory: Inode = { ...attributes, type: "dir" };
const file: Inode = { ...attributes, type: "file", content: { kind: "inline", bytes: fromText("") } };
const link = (target: string): Inode => ({ ...attributes, type: "symlink", target: fromText(target) });

const tree: MutableTree = new Map([
  [ROOT, directory],
  [treePath("/usr"), directory],
  [treePath("/usr/lib"), directory],
  [treePath("/usr/lib/x"), file],
  [treePath("/lib"), link("usr/lib")],
  [treePath("/up"), link("../../../usr")],
  [treePath("/abs"), link("/lib")],
  [treePath("/loop"), link("loop")],
]);

test.each([
  ["/lib/x", "/usr/lib/x"],
  ["/abs/x", "/usr/lib/x"],
  ["/up/lib/x", "/usr/lib/x"],
  ["/lib", "/lib"],
  ["/lib/new", "/usr/lib/new"],
  ["/none/deep/file", "/none/deep/file"],
  ["/usr/lib/x/below", undefined],
  ["/loop/x", undefined],
])("%s leads to %p", (path, want) => {
  expect<string | undefined>(resolvePath(tree, treePath(path), false)).toBe(want);
  expect<string | undefined>(pathResolver(tree)(treePath(path))).toBe(want);
});
