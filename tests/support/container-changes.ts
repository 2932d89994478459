import { expect } from "bun:test";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { treePath } from "../../src/core/bytestring.ts";
import type { ReadObject, Tree } from "../../src/core/tree.ts";
import { hasCode } from "../../src/sys/ffi.ts";
import { listXattrs } from "../../src/sys/xattr.ts";

/** Changes `richTree` in the ways that overlay treats differently. */
export function changeAsContainer(root: string): void {
  chmodSync(join(root, "usr/lib/big.so"), 0o600);
  moveDirectory(join(root, "usr/bin"), join(root, "usr/moved"));
  writeFileSync(join(root, "etc/hostname"), "changed\n");
  unlinkSync(join(root, "etc/empty"));
  rmSync(join(root, "dev"), { recursive: true });
  mkdirSync(join(root, "dev"));
  mkdirSync(join(root, "new/deep"), { recursive: true });
  writeFileSync(join(root, "new/deep/file"), "new");
}

/** As mv(1): overlay may refuse to rename a directory of its lower. */
function moveDirectory(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!hasCode(error, "EXDEV")) throw error;
    cpSync(from, to, { recursive: true, preserveTimestamps: true });
    rmSync(from, { recursive: true });
  }
}

/** Is all of `changeAsContainer` there, and nothing of it lost? */
export function expectChanged(root: string, tree: Tree, readObject: ReadObject): void {
  const big = readFileSync(join(root, "usr/lib/big.so"));
  const object = tree.get(treePath("/usr/lib/big.so"));
  if (object?.type !== "file" || object.content.kind !== "object")
    throw new Error("The test's tree has changed");
  expect(big.equals(readObject(object.content.digest))).toBe(true);
  expect(statSync(join(root, "usr/lib/big.so")).mode & 0o7777).toBe(0o600);
  expect(readdirSync(join(root, "usr")).sort().slice(0, 2)).toEqual(["lib", "moved"]);
  expect(readFileSync(join(root, "usr/moved/two")).equals(Buffer.alloc(3000, "linked"))).toBe(true);
  expect(readFileSync(join(root, "etc/hostname"), "latin1")).toBe("changed\n");
  expect(existsSync(join(root, "etc/empty"))).toBe(false);
  expect(readdirSync(join(root, "dev"))).toEqual([]);
  expect(readFileSync(join(root, "new/deep/file"), "latin1")).toBe("new");
}

/** What may never be found in an engine's upper. */
export function strangeXattrs(directory: string): string[] {
  return (readdirSync(directory, { recursive: true, encoding: "buffer" }) as Buffer[]).flatMap((name) => {
    const path = Buffer.concat([Buffer.from(`${directory}/`), name]);
    return listXattrs(path)
      .filter((xattr) => /^trusted\.overlay\.(metacopy|redirect)$/.test(xattr))
      .map((xattr) => `${name}: ${xattr}`);
  });
}
