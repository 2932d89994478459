import { expect, test } from "bun:test";
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
