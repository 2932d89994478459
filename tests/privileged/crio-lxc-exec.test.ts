import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { becomeSubreaper, readStat, waitChild } from "../../src/sys/pid.ts";
import { acceptUnix, listenUnix, receiveMessage } from "../../src/sys/socket.ts";
import { buildPlayer } from "../support/build-player.ts";
import { patience } from "../support/slowness.ts";

/** A running container of busybox, made by crio-lxc with its own planner, and what joins it. */

const REPOSITORY = join(import.meta.dir, "../..");
const ID = `exec-${process.pid}`;
let scratch = "";
let init = 0;

beforeAll(async () => {
  scratch = mkdtempSync("/var/tmp/atomfs-exec-");
  const player = join(REPOSITORY, "dist/player");
  if (!existsSync(player)) {
    mkdirSync(join(REPOSITORY, "dist"), { recursive: true });
    await buildPlayer(player);
  }
  becomeSubreaper();
  const rootfs = join(scratch, "bundle/rootfs");
  mkdirSync(join(rootfs, "bin"), { recursive: true });
  Bun.spawnSync(["cp", Bun.which("busybox") ?? "/bin/busybox", join(rootfs, "bin/busybox")]);
  for (const name of ["sh", "id", "cat", "tty", "sleep"]) symlinkSync("busybox", join(rootfs, "bin", name));
  const spec = crio("spec", "--bundle", join(scratch, "bundle"));
  expect(spec).toMatchObject({ code: 0, stdout: "", stderr: "" });
  const file = join(scratch, "bundle/config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  config.process.args = ["sleep", "1000"];
  config.process.terminal = false;
  writeFileSync(file, JSON.stringify(config));
  const made = crio("create", "--bundle", join(scratch, "bundle"), "--pid-file", join(scratch, "pid"), ID);
  expect(made).toEqual({ code: 0, stdout: "", stderr: "" });
  init = Number(readFileSync(join(scratch, "pid"), "latin1"));
  expect(crio("start", ID)).toEqual({ code: 0, stdout: "", stderr: "" });
});
afterAll(() => {
  expect(crio("delete", "--force", ID)).toEqual({ code: 0, stdout: "", stderr: "" });
  waitChild(init);
  rmSync(scratch, { recursive: true, force: true });
});

type Answer = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** By way of a shell with files: a container keeps a pipe open as long as it lives. */
function crio(...args: readonly string[]): Answer {
  const files = { stdout: join(scratch, "stdout"), stderr: join(scratch, "stderr") };
  const child = Bun.spawnSync(
    [
      "sh",
      "-c",
      `exec "$@" >${files.stdout} 2>${files.stderr}`,
      "sh",
      process.execPath,
      join(REPOSITORY, "tests/support/crio-lxc-command.ts"),
      "--root",
      join(scratch, "run"),
      ...args,
    ],
    { stdin: "ignore", stdout: "ignore", stderr: "ignore", timeout: patience(60_000) },
  );
  return {
    code: child.exitCode,
    stdout: readFileSync(files.stdout, "utf8"),
    stderr: readFileSync(files.stderr, "utf8"),
  };
}

test("exec runs in the container's namespaces and cgroups, and hands the exit code on", () => {
  const answer = crio("exec", ID, "sh", "-c", "cat /proc/1/comm; cat /proc/self/cgroup; exit 9");
  expect(answer).toMatchObject({ code: 9, stderr: "" });
  const [name, ...cgroups] = answer.stdout.trim().split("\n");
  expect(name).toBe("sleep");
  // Its cgroup namespace begins at its own cgroups: every one is the root.
  expect(cgroups.length).toBeGreaterThan(0);
  for (const line of cgroups) expect(line).toEndWith(":/");
});

test("a signal is 128 + its number", () => {
  expect(crio("exec", ID, "sh", "-c", "kill -9 $$").code).toBe(137);
});

test("user and capabilities are the options'", () => {
  expect(crio("exec", "-u", "5:6", ID, "id").stdout).toBe("uid=5 gid=6\n");
  expect(crio("exec", "-u", "root", ID, "id")).toMatchObject({ code: 255, stdout: "" });
});

test("what is not there is said as engines expect", () => {
  const absolute = crio("exec", ID, "/bin/none");
  expect(absolute.code).toBe(255);
  expect(absolute.stderr).toMatch(/no such file or directory\n$/);
  expect(crio("exec", ID, "none").stderr).toMatch(/executable file not found in \$PATH\n$/);
});

test("detached, the process is the subreaper's, and its pid is in the file", () => {
  const pidFile = join(scratch, "exec-pid");
  expect(crio("exec", "-d", "--pid-file", pidFile, ID, "sh", "-c", "exit 3").code).toBe(0);
  const pid = Number(readFileSync(pidFile, "latin1"));
  expect(readStat(pid)?.parent).toBe(process.pid);
  expect(waitChild(pid)).toBe(3);
});

test("a terminal comes by the console socket", () => {
  const path = join(scratch, "console");
  using listener = listenUnix(path, "stream");
  const pidFile = join(scratch, "terminal-pid");
  const args = ["exec", "-d", "-t", "--console-socket", path, "--pid-file", pidFile, ID, "tty"];
  expect(crio(...args).code).toBe(0);
  using connection = acceptUnix(listener);
  const message = receiveMessage(connection, { bytes: 100, descriptors: 1, timeoutMs: patience(10_000) });
  for (const fd of message?.descriptors ?? []) fd[Symbol.dispose]();
  expect(message?.descriptors).toHaveLength(1);
  waitChild(Number(readFileSync(pidFile, "latin1")));
});

test("update changes limits", () => {
  expect(crio("update", "--pids-limit", "30", ID)).toEqual({ code: 0, stdout: "", stderr: "" });
  const state = JSON.parse(readFileSync(join(scratch, "run", ID, "state.json"), "utf8"));
  const limits = state.cgroups
    .map((directory: string) => join(directory, "pids.max"))
    .filter((file: string) => existsSync(file))
    .map((file: string) => readFileSync(file, "latin1").trim());
  expect(limits).toContain("30");
});

test("a paused container takes no exec", () => {
  expect(crio("pause", ID).code).toBe(0);
  expect(crio("exec", ID, "id")).toMatchObject({ code: 255, stdout: "" });
  expect(crio("resume", ID).code).toBe(0);
});

test("events and ps tell of it", () => {
  const { type, id, data } = JSON.parse(crio("events", "--stats", ID).stdout);
  expect({ type, id }).toEqual({ type: "stats", id: ID });
  expect(data.pids.current).toBe(1);
  expect(crio("ps", ID).stdout).toContain("sleep 1000");
});
