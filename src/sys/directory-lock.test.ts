import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { lockDirectory } from "./directory-lock.ts";
import { Fd } from "./fd.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/atomfs-dirlock-");
});
afterAll(() => rmSync(directory, { recursive: true }));

test("one holds it, the next gets it afterwards", () => {
  const path = `${directory}/one`;
  expect(lockDirectory(path, 0)).toBe("absent");
  mkdirSync(path);
  const first = lockDirectory(path, 0);
  if (!(first instanceof Fd)) throw new Error(`not locked: ${first}`);
  expect(lockDirectory(path, 0)).toBe("busy");
  first[Symbol.dispose]();
  const second = lockDirectory(path, 0);
  expect(second).toBeInstanceOf(Fd);
  if (second instanceof Fd) second[Symbol.dispose]();
});

test("a lock stays with the directory, not with its name", () => {
  const path = `${directory}/two`;
  mkdirSync(path);
  const first = lockDirectory(path, 0);
  if (!(first instanceof Fd)) throw new Error(`not locked: ${first}`);
  using _ = first;
  renameSync(path, `${path}-gone`);
  expect(lockDirectory(path, 0)).toBe("absent");
  mkdirSync(path);
  const second = lockDirectory(path, 0);
  expect(second).toBeInstanceOf(Fd);
  if (second instanceof Fd) second[Symbol.dispose]();
});
