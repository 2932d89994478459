import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { waitChild } from "../../src/sys/pid.ts";
import { ContainerLab } from "../support/container-lab.ts";

let lab: ContainerLab;
beforeAll(() => {
  lab = new ContainerLab();
});
afterAll(() => lab[Symbol.dispose]());

const LIMIT = 16 * 1024 * 1024;

test("--stats says what the control groups say, to the last digit", () => {
  const { id } = lab.running((config) => {
    config.linux["resources"] = { memory: { limit: LIMIT }, pids: { limit: 20 } };
  });
  const text = lab.must("events", "--stats", id);
  const { type, data, ...rest } = JSON.parse(text);
  expect({ type, rest }).toEqual({ type: "stats", rest: { id } });
  expect(data.pids).toEqual({ current: 1, limit: 20 });
  expect(data.memory.usage.limit).toBe(LIMIT);
  expect(data.memory.usage.usage).toBeGreaterThan(0);
  expect(data.cpu.usage.total).toBeGreaterThan(0);
  expect(data.cpu.throttling).toEqual({ periods: 0, throttledPeriods: 0, throttledTime: 0 });
  // A limit that is none is larger than a double can say.
  const unlimited = text.match(/92233720368547[0-9]+|18446744073709551615/);
  expect(["9223372036854771712", "18446744073709551615"]).toContain(unlimited?.[0] ?? "none");
});

test("tells of each process that the kernel ended for memory, and ends with the container", async () => {
  const id = lab.container((config) => {
    config.linux["resources"] = { memory: { limit: LIMIT, swap: LIMIT } };
    // A string that doubles outgrows the limit; what made it is ended, and the shell that waited goes on.
    const eat = "x=0123456789abcdef; while :; do x=$x$x; done";
    config.process.args = [
      "sh",
      "-c",
      `while ! test -e /tmp/go; do sleep 0.02; done; sh -c '${eat}'; while ! test -e /tmp/told; do sleep 0.02; done; exit 9`,
    ];
    config["mounts"] = [
      ...(Array.isArray(config["mounts"]) ? config["mounts"] : []),
      { destination: "/tmp", type: "bind", source: lab.scratch, options: ["bind"] },
    ];
  });
  const pid = lab.create(id);
  lab.must("start", id);
  const shown = join(lab.scratch, "events");
  const child = Bun.spawn(lab.argv("events", "--interval", "50ms", id), {
    stdio: ["ignore", Bun.file(shown), "inherit"],
  });
  const count = (type: string): number =>
    existsSync(shown) ? readFileSync(shown, "utf8").split(`"type":"${type}"`).length - 1 : 0;
  // It has counted what was before once it shows something.
  while (count("stats") === 0) await Bun.sleep(20);
  await Bun.write(join(lab.scratch, "go"), "");
  // However late it looks, the container is still there.
  while (count("oom") === 0 || count("stats") < 2) await Bun.sleep(20);
  await Bun.write(join(lab.scratch, "told"), "");
  expect(waitChild(pid)).toBe(9);
  expect(await child.exited).toBe(0);
  const events = readFileSync(shown, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events.filter(({ type }) => type === "oom")).toEqual([{ type: "oom", id }]);
  expect(events.filter(({ type }) => type === "stats").length).toBeGreaterThan(1);
});

test("of a container that has stopped are an error", () => {
  const { id, pid } = lab.running();
  lab.must("kill", id, "KILL");
  waitChild(pid);
  const answer = lab.call("events", "--stats", id);
  expect(answer).toEqual({
    code: 1,
    stdout: "",
    stderr: `container with id ${id} is not running: container not running\n`,
  });
});
