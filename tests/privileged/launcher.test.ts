import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { removeCgroups } from "../../src/runtime/cgroups.ts";
import type { Fd } from "../../src/sys/fd.ts";
import { hasCode } from "../../src/sys/ffi.ts";
import { becomeSubreaper, openPidfd, readStat, waitChild, waitEnded } from "../../src/sys/pid.ts";
import { acceptUnix, listenUnix, receiveMessage } from "../../src/sys/socket.ts";
import { buildPlayer } from "../support/build-player.ts";
import { patience, repetitions } from "../support/slowness.ts";

const REPOSITORY = join(import.meta.dir, "../..");
/** Of all containers of this run, in every hierarchy. */
const CGROUP = `/atomfs-launcher-test-${process.pid}`;
const LAB = join(REPOSITORY, "tests/support/runtime-lab.ts");
const CYCLES = repetitions(30);
/** A create takes about as long on a developer's machine. */
const CREATE_MS = patience(250);
const KILLS = repetitions(25);
/** There is none where all controllers are in cgroup v2, whose groups are never without processors. */
const V1_CPUSET = "/sys/fs/cgroup/cpuset";

let scratch = "";
let root = "";
let serial = 0;
let id = "";

beforeAll(async () => {
  scratch = mkdtempSync("/var/tmp/atomfs-launcher-");
  root = join(scratch, "run");
  await buildPlayer(join(scratch, "player"));
  // What conmon and containerd's shim do.
  becomeSubreaper();
  const rootfs = join(scratch, "bundle/rootfs");
  for (const name of ["bin", "proc", "dev/pts"]) mkdirSync(join(rootfs, name), { recursive: true });
  const copied = Bun.spawnSync(["cp", Bun.which("busybox") ?? "/bin/busybox", join(rootfs, "bin/busybox")]);
  if (copied.exitCode !== 0) throw new Error("this test needs busybox-static");
});
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
  removeCgroups(cgroupDirectories().filter((path) => path.endsWith(CGROUP)));
});

afterEach(() => {
  lab("delete", "--force", id);
  reapOrphans();
});

type Answer = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

function lab(...args: readonly string[]): Answer {
  return labWith({}, args);
}

/** Into files: a container keeps a pipe open as long as it lives. */
function labWith(extra: Readonly<Record<string, string>>, args: readonly string[]): Answer {
  const names = ["stdout", "stderr"].map((name) => join(scratch, name));
  const [out = 1, err = 2] = names.map((name) => openSync(name, "w"));
  const child = Bun.spawnSync(labArguments(args), {
    env: environment(extra),
    stdin: "ignore",
    stdout: out,
    stderr: err,
    timeout: patience(60_000),
  });
  closeSync(out);
  closeSync(err);
  const [stdout = "", stderr = ""] = names.map((name) => readFileSync(name, "utf8"));
  return { code: child.exitCode, stdout, stderr };
}

function labArguments(args: readonly string[]): string[] {
  return [
    process.execPath,
    LAB,
    "--root",
    root,
    "--log",
    join(scratch, "log"),
    "--log-format",
    "json",
    ...args,
  ];
}

function environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", RUNTIME_LAB_PLAYER: join(scratch, "player"), ...extra };
}

/** Writes a bundle's config.json and gives the container a new name. */
function container(args: readonly string[], more: object = {}): string {
  id = `lab-${process.pid}-${serial++}`;
  const config = {
    ociVersion: "1.0.2",
    process: { args, env: ["PATH=/bin"], cwd: "/", user: { uid: 0, gid: 0 } },
    root: { path: "rootfs" },
    linux: { cgroupsPath: `${CGROUP}/${id}` },
    ...more,
  };
  writeFileSync(join(scratch, "bundle/config.json"), JSON.stringify(config));
  return id;
}

function create(...options: readonly string[]): number {
  const pidFile = join(scratch, "pid");
  rmSync(pidFile, { force: true });
  const answer = lab("create", "-b", join(scratch, "bundle"), "--pid-file", pidFile, ...options, id);
  expect(answer).toMatchObject({ code: 0, stdout: "" });
  const text = readFileSync(pidFile, "latin1");
  expect(text).toMatch(/^[0-9]+$/);
  return Number(text);
}

function status(): unknown {
  const { stdout, stderr } = lab("state", id);
  expect(stderr).toBe("");
  return JSON.parse(stdout).status;
}

/** Everything on the machine that has the container's name, in a form that says where. */
function traces(): string[] {
  const found: string[] = [];
  for (const directory of cgroupDirectories()) if (directory.includes(id)) found.push(directory);
  for (const name of existsSync(root) ? readdirSync(root) : [])
    if (name.includes(id)) found.push(join(root, name));
  if (existsSync(`/run/lxc/lock${root}`)) {
    for (const name of readdirSync(`/run/lxc/lock${root}`)) if (name.includes(id)) found.push(`lock ${name}`);
  }
  if (readFileSync("/proc/self/mountinfo", "latin1").includes(id)) found.push("a mount");
  for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
    const line = commandLine(pid);
    if (line.includes(id) && line.includes("lxc")) found.push(`process ${pid} ${line.replaceAll("\0", " ")}`);
  }
  return found;
}

function cgroupDirectories(): string[] {
  const listed = Bun.spawnSync(["find", "/sys/fs/cgroup", "-type", "d"]);
  return listed.stdout.toString().split("\n");
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** This process adopts what the killed ones left. */
function reapOrphans(): void {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "latin1").trim();
  for (const pid of children.split(" ").map(Number)) if (readStat(pid)?.state === "Z") waitChild(pid);
}

/** Everything until the other side has closed, which a terminal says with an error. */
function readTerminal(terminal: Fd): string {
  const buffer = Buffer.alloc(1000);
  for (let text = ""; ; ) {
    try {
      text += buffer.subarray(0, readSync(terminal.number, buffer)).toString();
    } catch (error) {
      if (hasCode(error, "EIO")) return text;
      throw error;
    }
  }
}

const SLEEP = ["/bin/busybox", "sleep", "1000"];

describe("create", () => {
  test("ends with an init that is the subreaper's child, and nothing of liblxc left", () => {
    const wrapper = join(scratch, "lxc-start");
    writeFileSync(wrapper, `#!/bin/sh\n: > ${scratch}/executed\nexec /usr/bin/lxc-start "$@"\n`, {
      mode: 0o755,
    });
    container(SLEEP);
    const args = ["create", "-b", join(scratch, "bundle"), "--pid-file", join(scratch, "pid"), id];
    expect(labWith({ RUNTIME_LAB_LXC_START: wrapper }, args).code).toBe(0);
    expect(existsSync(join(scratch, "executed"))).toBe(true);
    const init = Number(readFileSync(join(scratch, "pid"), "latin1"));
    expect(readStat(init)?.parent).toBe(process.pid);
    expect(traces().filter((trace) => /process|-pivot|-monitor/.test(trace))).toEqual([]);
    expect(status()).toBe("created");
    const cgroups = readFileSync(`/proc/${init}/cgroup`, "latin1").trim().split("\n");
    for (const line of cgroups) expect(line).toEndWith(`:${CGROUP}/${id}`);
    expect(lab("start", id)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(status()).toBe("running");
    expect(commandLine(String(init))).toBe("/bin/busybox\0sleep\x001000\0");
    expect(JSON.parse(lab("ps", "-f", "json", id).stdout)).toEqual([init]);
    expect(lab("kill", id, "KILL").code).toBe(0);
    expect(waitChild(init)).toBe(137);
    expect(status()).toBe("stopped");
    expect(lab("kill", id, "TERM").stderr).toContain("container not running");
    expect(lab("delete", id)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(traces()).toEqual([]);
  });

  test("hands the exit code on", () => {
    container(["/bin/busybox", "sh", "-c", "exit 42"]);
    const init = create();
    expect(lab("start", id).code).toBe(0);
    expect(waitChild(init)).toBe(42);
  });

  test("hands stdin on", () => {
    container(["/bin/busybox", "sh", "-c", 'read line; [ "$line" = "first line" ] && exit 33']);
    const input = join(scratch, "input");
    writeFileSync(input, "first line\n");
    const stdin = openSync(input, "r");
    const pidFile = join(scratch, "pid");
    const created = Bun.spawnSync(
      labArguments(["create", "-b", join(scratch, "bundle"), "--pid-file", pidFile, id]),
      { env: environment(), stdio: [stdin, "ignore", "ignore"] },
    );
    closeSync(stdin);
    expect(created.exitCode).toBe(0);
    expect(lab("start", id).code).toBe(0);
    expect(waitChild(Number(readFileSync(pidFile, "latin1")))).toBe(33);
  });

  test("refuses an id that exists, and leaves that container alone", () => {
    container(SLEEP);
    const init = create();
    const again = lab("create", "-b", join(scratch, "bundle"), id);
    expect(again.code).toBe(1);
    expect(again.stderr).toBe(`container with id exists: ${id}\n`);
    expect(readStat(init)?.state).toBe("S");
    const lines = readFileSync(join(scratch, "log"), "utf8").trim().split("\n");
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({
      level: "error",
      msg: `container with id exists: ${id}`,
    });
  });

  test.skipIf(!existsSync(`${V1_CPUSET}/cpuset.cpus`))(
    "below a group that hands its cpuset to nobody, as kubelet makes them",
    () => {
      // liblxc looks after a group right below the root.
      const above = `${CGROUP}/pods/pod`;
      let parent = V1_CPUSET;
      for (const name of above.slice(1).split("/")) {
        mkdirSync(`${parent}/${name}`, { recursive: true });
        for (const file of ["cpuset.cpus", "cpuset.mems"])
          writeFileSync(`${parent}/${name}/${file}`, readFileSync(`${parent}/${file}`));
        parent = `${parent}/${name}`;
        writeFileSync(`${parent}/cgroup.clone_children`, "0");
      }
      container(SLEEP, { linux: { cgroupsPath: `${above}/in` } });
      const init = create();
      const own = readFileSync(`${parent}/in/cpuset.cpus`, "latin1");
      expect(own).toBe(readFileSync(`${parent}/cpuset.cpus`, "latin1"));
      expect(readFileSync(`/proc/${init}/cgroup`, "latin1")).toContain(`:cpuset:${above}/in`);
    },
  );

  test("that fails in liblxc says what liblxc said, and leaves nothing", () => {
    container(SLEEP, { root: { path: "none" } });
    const answer = lab("create", "-b", join(scratch, "bundle"), "--pid-file", join(scratch, "no-pid"), id);
    expect(answer.code).toBe(1);
    expect(answer.stderr).toContain("lxc-start could not make the container: ");
    expect(answer.stderr).not.toContain("without a word");
    expect(existsSync(join(scratch, "no-pid"))).toBe(false);
    reapOrphans();
    expect(traces()).toEqual([]);
  });

  test("whose pid file cannot be written fails, and leaves nothing", () => {
    container(SLEEP);
    const answer = lab("create", "-b", join(scratch, "bundle"), "--pid-file", join(scratch, "no/pid"), id);
    expect(answer.code).toBe(1);
    reapOrphans();
    expect(traces()).toEqual([]);
  });

  test("sends the terminal to the console socket", () => {
    container(["/bin/busybox", "sh", "-c", "tty; echo hello $0", "you"]);
    const path = join(scratch, `console-${id}`);
    using listener = listenUnix(path, "stream");
    const init = create("--console-socket", path);
    using connection = acceptUnix(listener);
    const message = receiveMessage(connection, { bytes: 100, descriptors: 1, timeoutMs: patience(10_000) });
    const terminal = message?.descriptors[0];
    if (terminal === undefined) throw new Error("no terminal came");
    using _ = terminal;
    expect(message?.bytes.length).toBeGreaterThan(0);
    expect(lab("start", id).code).toBe(0);
    expect(waitChild(init)).toBe(0);
    expect(readTerminal(terminal)).toMatch(/^\/dev\/.*\r?\nhello you/);
  });
});

describe("start", () => {
  test("of a program that does not exist says so as engines expect", () => {
    container(["/bin/nothing"]);
    const init = create();
    const answer = lab("start", id);
    expect(answer.code).toBe(1);
    expect(answer.stderr).toContain("no such file or directory");
    expect(waitChild(init)).toBe(127);
  });

  test("happens once", () => {
    container(SLEEP);
    create();
    expect(lab("start", id).code).toBe(0);
    expect(lab("start", id).stderr).toContain("cannot start an already running container");
    expect(lab("delete", id).stderr).toContain("that is not stopped: running");
  });
});

test("pause freezes, resume thaws, KILL ends what is paused", () => {
  container(SLEEP);
  const init = create();
  lab("start", id);
  expect(lab("pause", id)).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(status()).toBe("paused");
  expect(lab("resume", id).code).toBe(0);
  expect(status()).toBe("running");
  lab("pause", id);
  expect(lab("kill", id, "9").code).toBe(0);
  expect(waitChild(init)).toBe(137);
});

test("what is paused before its start is not started until it is resumed: a start would wait with the lock in its hands", () => {
  container(SLEEP);
  create();
  expect(lab("pause", id).code).toBe(0);
  expect(status()).toBe("paused");
  expect(lab("start", id)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("cannot start a container in the paused state"),
  });
  expect(lab("resume", id)).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(status()).toBe("created");
  expect(lab("start", id).code).toBe(0);
  expect(status()).toBe("running");
});

test("run gives the exit code and deletes", () => {
  container(["/bin/busybox", "sh", "-c", "exit 7"]);
  expect(lab("run", "-b", join(scratch, "bundle"), id).code).toBe(7);
  expect(traces()).toEqual([]);
});

test(`${CYCLES} containers leave nothing`, () => {
  for (let n = 0; n < CYCLES; n++) {
    container(["/bin/busybox", "true"]);
    const init = create();
    expect(lab("start", id).code).toBe(0);
    expect(waitChild(init)).toBe(0);
    expect(lab("delete", id)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(traces()).toEqual([]);
  }
  expect(readFileSync("/proc/self/mountinfo", "latin1")).not.toContain(scratch);
});

describe("SIGKILL of create", () => {
  function expectRemovable(): void {
    expect(lab("delete", "--force", id)).toEqual({ code: 0, stdout: "", stderr: "" });
    reapOrphans();
    expect(traces()).toEqual([]);
  }

  test("in a hook of the host", () => {
    container(SLEEP, {
      hooks: { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", "kill -9 $PPID"] }] },
    });
    expect(lab("create", "-b", join(scratch, "bundle"), id).code).not.toBe(0);
    expect(traces()).not.toEqual([]);
    expectRemovable();
  });

  test("at any time", async () => {
    for (let ms = 0; ms < CREATE_MS; ms += CREATE_MS / KILLS) {
      container(SLEEP);
      const child = Bun.spawn(labArguments(["create", "-b", join(scratch, "bundle"), id]), {
        env: environment(),
        stdio: ["ignore", "ignore", "ignore"],
      });
      await Bun.sleep(ms);
      child.kill(9);
      await child.exited;
      expectRemovable();
    }
  });

  test("a record whose pid is another process's now is of a stopped container, and that process is spared", async () => {
    container(SLEEP);
    const init = create();
    lab("kill", id, "KILL");
    waitChild(init);
    await using bystander = Bun.spawn(["/bin/sleep", "1000"]);
    const file = join(root, id, "state.json");
    const record = JSON.parse(readFileSync(file, "utf8"));
    record.init.pid = bystander.pid;
    writeFileSync(file, JSON.stringify(record));
    expect(status()).toBe("stopped");
    expect(lab("kill", id, "KILL").code).toBe(1);
    expectRemovable();
    using pidfd = openPidfd(bystander.pid);
    if (pidfd === undefined) throw new Error("the bystander has gone");
    expect(waitEnded(pidfd, 0)).toBe(false);
    bystander.kill(9);
  });
});

test("what is not there", () => {
  id = "lab-none";
  expect(lab("state", id)).toEqual({ code: 1, stdout: "", stderr: 'container "lab-none" does not exist\n' });
  expect(lab("delete", id).stderr).toContain("does not exist");
  expect(lab("delete", "--force", id)).toEqual({ code: 0, stdout: "", stderr: "" });
  mkdirSync(join(root, id), { recursive: true });
  expect(statSync(join(root, id)).isDirectory()).toBe(true);
  expect(lab("state", id).stderr).toContain("does not exist");
  expect(lab("delete", "--force", id).code).toBe(0);
  expect(existsSync(join(root, id))).toBe(false);
});
