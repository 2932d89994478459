import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROC, START, shell, t } from "../support/player-actions.ts";
import { PlayerLab, programOf } from "../support/player-lab.ts";
import { patience } from "../support/slowness.ts";

let lab: PlayerLab;
beforeAll(async () => {
  lab = await PlayerLab.open();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

describe("the life of an init", () => {
  test("its exit code and its signal are the player's own", async () => {
    const exits = await lab.play(programOf(START, shell("exit 42")));
    expect(exits.events).toEqual(["ready", "control closed", "start closed", "exit 42"]);
    const killed = await lab.play(programOf(START, shell("kill -KILL $$")), ["shared-pid"]);
    expect(killed.events.at(-1)).toBe("signal 9");
  });

  test("the process gets stdio only, default signals, and PID 1", async () => {
    const output = await lab.shown(
      [PROC],
      "ls /proc/self/fd; echo $$; umask; exec grep -E 'SigBlk|SigIgn' /proc/self/status",
    );
    expect(output.split("\n")).toEqual([
      // 3 is the directory that ls reads.
      ...["0", "1", "2", "3"],
      "1",
      "0022",
      "SigBlk:\t0000000000000000",
      "SigIgn:\t0000000000000000",
    ]);
  });

  test("while it waits, it holds only what it needs and is not dumpable", async () => {
    await using child = lab.start(programOf(PROC, START, shell("true")), ["manual", "shared-pid"]);
    const events = child.stdout.getReader();
    await events.read();
    child.stdin.write("keep\n");
    await events.read();
    const [pid = ""] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "latin1").split(" ");
    const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    // Stdio, which is sockets here, the start socket, and the root.
    expect(targets.map((one) => one.replace(/\d+/, "N")).sort()).toEqual([
      "/",
      ...Array(4).fill("socket:[N]"),
    ]);
    expect(statSync(`/proc/${pid}/fd`).uid).toBe(0);
    expect(readlinkSync(`/proc/${pid}/exe`)).toBe("/memfd:sealed (deleted)");
    child.stdin.write("go\n");
    await child.exited;
  });

  test.each([1, 2, 3, 10, 15, 37])(
    "signal %d ends it while it waits, although it is PID 1",
    async (signal) => {
      expect(await talk([], ["keep", `kill ${signal}`])).toEqual([
        "ready",
        "control closed",
        `exit ${128 + signal}`,
      ]);
      // It need not be kept for that.
      expect(await talk([], [`kill ${signal}`])).toEqual(["ready", "control closed", `exit ${128 + signal}`]);
    },
  );

  test("its death by a signal is that signal where it is not PID 1", async () => {
    expect(await talk(["shared-pid"], ["keep", "kill 15"])).toEqual(["ready", "control closed", "signal 15"]);
  });

  test("it ends with a launcher that has not kept it", async () => {
    expect(await talk([], ["close"])).toEqual(["ready", "exit 1"]);
  });

  test("a connection without a word is forgotten; after go there is no second start", async () => {
    const host = lab.newUpper();
    // It runs until the second start was tried, however long that takes.
    const runs = programOf(
      { kind: "attach-mount", mount: 0, path: t("/new"), create: "dir" },
      START,
      shell("until [ -e /new/end ]; do sleep 0.1; done"),
    );
    const end = (): void => writeFileSync(join(host, "end"), "");
    expect(await talk([`mount:${host}`], ["keep", "refuse", "go", "go", end], runs)).toEqual([
      "ready",
      "control closed",
      "start closed",
      "connect: Connection refused",
      "exit 0",
    ]);
  });

  test("it waits for the launcher where the program says so", async () => {
    const program = programOf({ kind: "await-launcher" }, START, shell("true"));
    expect(await talk([], ["continue", "keep", "go"], program)).toEqual([
      "waiting 0",
      "ready",
      "control closed",
      "start closed",
      "exit 0",
    ]);
    expect(await talk([], ["close"], program)).toEqual(["waiting 0", "exit 1"]);
  });

  test("while it waits, it takes what could not be opened before", async () => {
    const program = programOf(
      { kind: "await-launcher" },
      { kind: "attach-mount", mount: 0, path: t("/new"), create: "dir" },
      START,
      shell("[ -e /new/file ]"),
    );
    const host = lab.newUpper();
    writeFileSync(join(host, "file"), "");
    const handed = ["file:/dev/null"];
    expect(await talk(handed, [`hand 0 ${host}`, "continue", "keep", "go"], program)).toEqual([
      "waiting 0",
      "ready",
      "control closed",
      "start closed",
      "exit 0",
    ]);
    // There is no descriptor of that number: the player ends by itself.
    const none = await talk(handed, [`hand 1 ${host}`], program);
    expect(none).toEqual(["waiting 0", "control closed", "exit 1"]);
  });

  /** Says one word, or does something, after each event. */
  async function talk(
    options: readonly string[],
    words: readonly (string | (() => void))[],
    program = programOf(START, shell("true")),
  ): Promise<string[]> {
    await using child = lab.start(program, ["manual", ...options]);
    const events: string[] = [];
    const left = [...words];
    let text = "";
    for await (const part of child.stdout) {
      text += Buffer.from(part).toString();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        events.push(line);
        let word: string | (() => void) | undefined;
        do {
          word = left.shift();
          if (typeof word === "string") child.stdin.write(`${word}\n`);
          else word?.();
          // Nothing is reported about a connection that says nothing, or about what is handed over.
        } while (word === "refuse" || (typeof word === "string" && word.startsWith("hand ")));
      }
    }
    await child.exited;
    return events;
  }
});
