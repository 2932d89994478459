import { expect, test } from "bun:test";
import { run } from "./process.ts";

/** Longer than any test may take. */
const FOREVER = "sleep 1000";

test("a program that does not end is ended, and the error says which and how long it had", async () => {
  await expect(run(["sh", "-c", `exec ${FOREVER}`], { limitMs: 100 })).rejects.toMatchObject({
    kind: "failed",
    message: "sh did not end within 0.1 s",
    hints: [expect.stringContaining(FOREVER)],
  });
});

test("nor does one keep its caller whose own child holds its output open", async () => {
  const script = "sleep 20 & echo $!; wait";
  await expect(run(["sh", "-c", script], { limitMs: 100 })).rejects.toThrow("did not end within 0.1 s");
});

test("one that ends in time is as without a limit", async () => {
  const { code, stdout } = await run(["sh", "-c", "echo done; exit 3"], { limitMs: 600_000, okCodes: [3] });
  expect({ code, text: stdout.toString() }).toEqual({ code: 3, text: "done\n" });
});

const idsOf = (stdout: Buffer): { pid: string; group: string; session: string } => {
  // proc_pid_stat(5): after the name in parentheses come state, parent, group and session.
  const text = stdout.toString();
  const [, , group = "", session = ""] = text.slice(text.lastIndexOf(") ") + 2).split(" ");
  return { pid: text.split(" ")[0] ?? "", group, session };
};

test("in a session of its own no signal of this process's group reaches it", async () => {
  const own = idsOf((await run(["cat", "/proc/self/stat"], { ownSession: true })).stdout);
  expect(own).toEqual({ pid: own.pid, group: own.pid, session: own.pid });
  const other = idsOf((await run(["cat", "/proc/self/stat"])).stdout);
  expect(other.session).not.toBe(other.pid);
});
