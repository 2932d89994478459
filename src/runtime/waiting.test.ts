import { expect, test } from "bun:test";
import { join } from "node:path";
import { openPidfd } from "../sys/pid.ts";
import { ForwardedSignals } from "./waiting.ts";

test("signals before and during a process's life reach it, and later ones nobody", async () => {
  using signals = new ForwardedSignals();
  process.emit("SIGUSR1", "SIGUSR1");
  const script = "trap 'echo one' USR1; trap 'echo two; exit' USR2; echo ready; while :; do sleep 0.01; done";
  const child = Bun.spawn(["/bin/sh", "-c", script], { stdout: "pipe", stderr: "ignore" });
  using _ = { [Symbol.dispose]: () => child.kill("SIGKILL") };
  const output = child.stdout.getReader();
  const said = async (): Promise<string> => new TextDecoder().decode((await output.read()).value);
  expect(await said()).toBe("ready\n");
  const pidfd = openPidfd(child.pid);
  if (pidfd === undefined) throw new Error("the child is gone");
  const sending = signals.sendTo(pidfd);
  expect(await said()).toBe("one\n");
  process.emit("SIGUSR2", "SIGUSR2");
  expect(await said()).toBe("two\n");
  await child.exited;
  sending[Symbol.dispose]();
  pidfd[Symbol.dispose]();
  process.emit("SIGUSR2", "SIGUSR2");
});

const PASSED_ON = [1, 2, 3, 6, 10, 12, 14, 15, 18, 20, 24, 25, 26, 27, 29, 31] as const;

/** Waits as crio-lxc does: for a shell that tells of each signal. */
const WAITING = `
import { readStat } from ${JSON.stringify(join(import.meta.dir, "../sys/pid.ts"))};
import { ForwardedSignals, waitForAdopted } from ${JSON.stringify(join(import.meta.dir, "waiting.ts"))};
const signals = new ForwardedSignals();
const traps = ${JSON.stringify(PASSED_ON)}.map((n) => "trap 'echo " + n + "' " + n).join("; ");
const script = traps + "; trap 'exit 7' 21; echo ready; while :; do sleep 0.01; done";
const child = Bun.spawn(["/bin/sh", "-c", script], { stdout: "inherit", stderr: "ignore", detached: true });
process.on("SIGTTIN", () => child.kill("SIGTTIN"));
const { startTime } = readStat(child.pid);
await waitForAdopted({ pid: child.pid, startTime }, signals);
`;

test("what a waiting crio-lxc is sent from outside is its process's, signal by signal", async () => {
  const waiting = Bun.spawn([process.execPath, "-e", WAITING], { stdout: "pipe", stderr: "inherit" });
  const output = waiting.stdout.getReader();
  const said = async (): Promise<string> => new TextDecoder().decode((await output.read()).value);
  try {
    expect(await said()).toBe("ready\n");
    for (const number of PASSED_ON) {
      waiting.kill(number);
      expect(await said()).toBe(`${number}\n`);
    }
  } finally {
    waiting.kill("SIGTTIN");
    await waiting.exited;
  }
});
