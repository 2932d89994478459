import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { treePath } from "../core/bytestring.ts";
import { openDirectoryPath } from "./fd.ts";
import { openFileInRoot, readStart } from "./root-files.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "atomfs-root-files-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function start(path: string, maxBytes: number): string | undefined {
  using root = openDirectoryPath(directory);
  const file = openFileInRoot(root, treePath(path));
  if (file === undefined) return undefined;
  using _fd = file.fd;
  return readStart(file, maxBytes).toString();
}

test("no more than the bound, whatever the file's size", () => {
  const file = join(directory, "file");
  writeFileSync(file, "123456");
  expect(start("/file", 4)).toBe("1234");
  expect(start("/file", 100)).toBe("123456");
  // Nobody has that much memory.
  truncateSync(file, 2 ** 42);
  expect(start("/file", 4)).toBe("1234");
});

test("symlinks stay in the root; nothing but regular files is opened", () => {
  writeFileSync(join(directory, "file"), "text");
  symlinkSync("/file", join(directory, "link"));
  expect(start("/link", 10)).toBe("text");
  symlinkSync("/etc/passwd", join(directory, "out"));
  expect(() => start("/out", 10)).toThrow(expect.objectContaining({ code: "ENOENT" }));
  Bun.spawnSync(["mkfifo", join(directory, "pipe")]);
  expect(start("/pipe", 10)).toBeUndefined();
  expect(start("/", 10)).toBeUndefined();
});

test("what is not accepted is not opened", () => {
  writeFileSync(join(directory, "file"), "text");
  using root = openDirectoryPath(directory);
  let seen = -1;
  const refuse = (_name: unknown, size: number): boolean => {
    seen = size;
    return false;
  };
  expect(openFileInRoot(root, treePath("/file"), refuse)).toBeUndefined();
  expect(seen).toBe(4);
});
