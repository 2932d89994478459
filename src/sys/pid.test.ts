import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { isAlive, openPidfd, openProcess, parseSignal, readStat, signalProcess, waitEnded } from "./pid.ts";

describe("a process", () => {
  test("is known by pid and start time", async () => {
    await using child = Bun.spawn(["/bin/sleep", "1000"]);
    const stat = readStat(child.pid);
    if (stat === undefined) throw new Error("the child is not there");
    expect(stat.parent).toBe(process.pid);
    expect(isAlive(child.pid, stat.startTime)).toBe(true);
    expect(isAlive(child.pid, stat.startTime + 1)).toBe(false);
    expect(openProcess(child.pid, stat.startTime + 1)).toBeUndefined();
    using pidfd = openProcess(child.pid, stat.startTime);
    if (pidfd === undefined) throw new Error("the child cannot be opened");
    expect(waitEnded(pidfd, 0)).toBe(false);
    expect(signalProcess(pidfd, 9)).toBe(true);
    expect(waitEnded(pidfd, 60_000)).toBe(true);
    await child.exited;
    expect(signalProcess(pidfd, 9)).toBe(false);
    expect(isAlive(child.pid, stat.startTime)).toBe(false);
  });

  test("whose number is a thread's by now is not there", () => {
    const thread = readdirSync("/proc/self/task")
      .map(Number)
      .find((id) => id !== process.pid);
    if (thread === undefined) throw new Error("this program has no second thread");
    expect(openPidfd(thread)).toBeUndefined();
  });

  test("that never was", () => {
    expect(readStat(2 ** 22 + 1)).toBeUndefined();
    expect(openPidfd(2 ** 22 + 1)).toBeUndefined();
  });
});

test.each([
  ["KILL", 9],
  ["SIGKILL", 9],
  ["sigterm", 15],
  ["9", 9],
  ["0", 0],
  ["64", 64],
  ["RTMIN", 34],
  ["SIGRTMIN+3", 37],
  ["RTMAX-1", 63],
  ["65", undefined],
  ["RTMAX+1", undefined],
  ["NOPE", undefined],
  ["-9", undefined],
  ["", undefined],
  ["constructor", undefined],
])("signal %p is %p", (text, number) => expect(parseSignal(text)).toBe(number));
