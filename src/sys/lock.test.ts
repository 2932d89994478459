import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { AtomfsError } from "../core/errors.ts";
import { type LockMode, lockFile, lockFileLater } from "./lock.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/atomfs-lock-");
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Another process that holds the lock until it is killed; ready once it has said so. */
async function holder(path: string, mode: LockMode): Promise<AsyncDisposable> {
  const script = `import { lockFile } from ${JSON.stringify(import.meta.resolve("./lock.ts"))};
    using lock = lockFile(${JSON.stringify(path)}, ${JSON.stringify(mode)}, { wait: false });
    console.log("held"); await new Promise((end) => process.stdin.once("data", end));`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdin: "pipe", stdout: "pipe" });
  const first = await child.stdout.getReader().read();
  expect(Buffer.from(first.value ?? []).toString()).toBe("held\n");
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

function attempt(path: string, mode: LockMode): string {
  try {
    using _ = lockFile(path, mode, { wait: false });
    return "locked";
  } catch (error) {
    return error instanceof AtomfsError ? error.kind : String(error);
  }
}

test("shared locks go together, an exclusive one with none; a killed holder frees it", async () => {
  const path = `${directory}/a`;
  {
    await using _ = await holder(path, "shared");
    expect([attempt(path, "shared"), attempt(path, "exclusive")]).toEqual(["locked", "stale"]);
  }
  {
    await using _ = await holder(path, "exclusive");
    expect([attempt(path, "shared"), attempt(path, "exclusive")]).toEqual(["stale", "stale"]);
  }
  expect(attempt(path, "exclusive")).toBe("locked");
});

test("two locks of one process exclude each other too", () => {
  const path = `${directory}/b`;
  using _ = lockFile(path, "exclusive", { wait: false });
  expect(attempt(path, "shared")).toBe("stale");
});

test("waiting ends with stale after the time, or with the lock once it is free", async () => {
  const path = `${directory}/c`;
  const held = await holder(path, "exclusive");
  expect(() => lockFile(path, "shared", { wait: true, timeoutMs: 30 })).toThrow(/another command holds it/);
  const waiting = lockFileLater(path, "exclusive", { timeoutMs: 60_000 });
  await held[Symbol.asyncDispose]();
  using _ = await waiting;
  expect(attempt(path, "shared")).toBe("stale");
});

test("a signal ends the wait", async () => {
  const path = `${directory}/d`;
  using _ = lockFile(path, "exclusive", { wait: false });
  const signal = AbortSignal.abort();
  await expect(lockFileLater(path, "shared", { timeoutMs: 60_000, signal })).rejects.toThrow(/Interrupted/);
});
