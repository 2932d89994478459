import { expect, test } from "bun:test";
import { openSync, readFileSync, writeSync } from "node:fs";
import { isSealed, sealedCopy, sealedMemfd } from "./memfd.ts";

test.each([
  ["bytes", () => sealedMemfd("true", readFileSync("/bin/true"))],
  ["a file", () => sealedCopy("true", "/bin/true")],
])("what is sealed can be read and executed, and never changed: %s", (_, make) => {
  using fd = make();
  expect(readFileSync(`/proc/self/fd/${fd.number}`).equals(readFileSync("/bin/true"))).toBe(true);
  expect(isSealed(fd)).toBe(true);
  expect(() => writeSync(fd.number, Buffer.from("x"), 0, 1, 0)).toThrow(/EPERM/);
  expect(() => openSync(`/proc/self/fd/${fd.number}`, "w")).toThrow(/EPERM/);
  const child = Bun.spawnSync([`/proc/${process.pid}/fd/${fd.number}`]);
  expect(child.exitCode).toBe(0);
});
