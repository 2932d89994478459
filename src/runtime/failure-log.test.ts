import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listenUnix, receiveMessage } from "../sys/socket.ts";
import { flushLog, tellMachine, writeLog } from "./failure-log.ts";

let place = "";

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "atomfs-log-"));
});
afterEach(() => {
  delete process.env["CRIO_LXC_LOG"];
  rmSync(place, { recursive: true, force: true });
});

test("the machine's log gets a warning as syslog(3) writes it", async () => {
  const path = join(place, "log");
  using socket = listenUnix(path, "datagram");
  await tellMachine("AtomFS failed:\n  why", path);
  const line = receiveMessage(socket, { bytes: 1000, timeoutMs: 5000 })?.bytes.toString() ?? "";
  expect(line).toMatch(
    /^<28>[A-Z][a-z]{2} [ 1-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} crio-lxc\[[0-9]+\]: AtomFS failed:; why$/,
  );
});

test("a machine whose log nobody reads, or that has none, keeps nobody waiting", async () => {
  const path = join(place, "log");
  using _socket = listenUnix(path, "datagram");
  for (let i = 0; i < 2000; i++) await tellMachine("x".repeat(1000), path);
  await tellMachine("nobody", join(place, "absent"));
});

test("an engine that names no log has CRIO_LXC_LOG, one that names one has that", () => {
  process.env["CRIO_LXC_LOG"] = join(place, "default");
  writeLog({ log: undefined, logFormat: "json" }, "warning", "one");
  writeLog({ log: join(place, "named"), logFormat: "json" }, "warning", "two", join(place, "absent"));
  expect(JSON.parse(readFileSync(join(place, "default"), "utf8"))).toMatchObject({
    level: "warning",
    msg: "one",
  });
  expect(JSON.parse(readFileSync(join(place, "named"), "utf8"))).toMatchObject({ msg: "two" });
});

test("engines throw the log away that they named: a warning is told the machine, too, and nothing else is", async () => {
  const path = join(place, "log");
  using socket = listenUnix(path, "datagram");
  const named = { log: join(place, "named"), logFormat: "text" } as const;
  writeLog(named, "info", "one", path);
  writeLog(named, "error", "two", path);
  writeLog(named, "warning", "three", path);
  writeLog({ log: undefined, logFormat: "text" }, "warning", "four", path);
  process.env["CRIO_LXC_LOG"] = join(place, "chosen");
  writeLog({ log: undefined, logFormat: "text" }, "warning", "five", path);
  writeLog(named, "warning", "six", path);
  await flushLog();
  const told = ["three", "four", "six"].map(
    () => receiveMessage(socket, { bytes: 1000, timeoutMs: 5000 })?.bytes.toString() ?? "",
  );
  expect(told.map((line) => line.replace(/^.*: /, "")).sort()).toEqual(["four", "six", "three"]);
  expect(readFileSync(named.log, "utf8").split("\n")).toHaveLength(5);
  expect(readFileSync(join(place, "chosen"), "utf8")).toContain("five");
});
