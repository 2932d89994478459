import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openPidfd, readStat, waitChild, waitEnded } from "../../src/sys/pid.ts";
import { ContainerLab } from "../support/container-lab.ts";

/** The runtime is killed at exact points of its work: strace(1) sends SIGKILL as it enters its n-th system call. */

/** How many of a verb's system calls are such points; CRASH_POINTS=100000 takes each. */
const POINTS = Number(process.env["CRASH_POINTS"] ?? 16);

let lab: ContainerLab;
beforeAll(() => {
  lab = new ContainerLab();
});
afterAll(() => lab[Symbol.dispose]());

type Verb = {
  readonly name: string;
  /** Makes what the verb is called on. */
  readonly before: () => string;
  readonly args: (id: string) => readonly string[];
};

function created(): string {
  const id = lab.container();
  lab.create(id);
  return id;
}

function running(): string {
  return lab.running().id;
}

function stopped(): string {
  const { id, pid } = lab.running();
  lab.must("kill", id, "KILL");
  waitChild(pid);
  return id;
}

function paused(): string {
  const id = running();
  lab.must("pause", id);
  return id;
}

const bundle = (): string[] => ["--bundle", lab.bundle];
const VERBS: readonly Verb[] = [
  { name: "create", before: () => lab.container(), args: (id) => ["create", ...bundle(), id] },
  { name: "start", before: created, args: (id) => ["start", id] },
  { name: "run", before: () => lab.container(shortLived), args: (id) => ["run", ...bundle(), id] },
  { name: "run --detach", before: () => lab.container(), args: (id) => ["run", "-d", ...bundle(), id] },
  { name: "exec", before: running, args: (id) => ["exec", id, "true"] },
  { name: "exec --detach", before: running, args: (id) => ["exec", "-d", id, "sleep", "1000"] },
  { name: "kill", before: running, args: (id) => ["kill", id, "KILL"] },
  { name: "kill --all", before: running, args: (id) => ["kill", "--all", id, "KILL"] },
  { name: "pause", before: running, args: (id) => ["pause", id] },
  { name: "resume", before: paused, args: (id) => ["resume", id] },
  { name: "update", before: running, args: (id) => ["update", "--pids-limit", "20", id] },
  { name: "delete", before: stopped, args: (id) => ["delete", id] },
  { name: "delete --force", before: running, args: (id) => ["delete", "--force", id] },
];

function shortLived(config: { process: { args: string[] } }): void {
  config.process.args = ["true"];
}

/** Calls that change nothing outside of the process. What a kill between two others leaves behind is the same for all of them. */
const HARMLESS = new Set(
  (
    "brk clock_gettime clock_nanosleep close epoll_ctl epoll_pwait2 epoll_wait eventfd2 fcntl fstat futex getdents64 getpid " +
    "gettid getrandom getuid lseek madvise mmap mprotect mremap munmap newfstatat pidfd_open poll ppoll pread64 prlimit64 read " +
    "readlink rt_sigaction rt_sigprocmask sched_yield statfs statx timerfd_settime"
  ).split(" "),
);

/** A system call of the main thread, which does all the work: the `ordinal`-th of its name, which is how strace counts. */
type Point = { readonly name: string; readonly ordinal: number };

/** Those from the first that looks for the container on. */
async function crashPoints({ before, args }: Verb): Promise<Point[]> {
  const id = before();
  const log = join(lab.scratch, "strace");
  lab.spawn(["strace", "-o", log, ...lab.argv(...args(id))]);
  await lab.callReaping("delete", "--force", id);
  const seen = new Map<string, number>();
  const points: Point[] = [];
  let isNear = false;
  for (const [n, line] of readFileSync(log, "latin1").split("\n").entries()) {
    const name = /^[a-z0-9_]+(?=\()/.exec(line)?.[0];
    if (name === undefined) continue;
    const ordinal = (seen.get(name) ?? 0) + 1;
    seen.set(name, ordinal);
    isNear ||= n > 0 && line.includes(lab.root);
    const isRead = name === "openat" && !line.includes("O_CREAT");
    if (isNear && !isRead && !HARMLESS.has(name)) points.push({ name, ordinal });
  }
  const count = Math.min(POINTS, points.length);
  return Array.from({ length: count }, (_, n) => points[Math.floor((n * points.length) / count)]).filter(
    (point) => point !== undefined,
  );
}

describe("SIGKILL of", () => {
  for (const verb of VERBS) {
    test(`${verb.name}: delete --force then removes everything`, async () => {
      const points = await crashPoints(verb);
      expect(points.length).toBeGreaterThan(1);
      let killed = 0;
      for (const point of points) {
        const id = verb.before();
        const inject = `inject=${point.name}:signal=KILL:when=${point.ordinal}`;
        const argv = ["strace", "-o", "/dev/null", "-e", inject, ...lab.argv(...verb.args(id))];
        if (lab.spawn(argv).code !== 0) killed++;
        const state = lab.call("state", id);
        if (state.code === 0) expect(JSON.parse(state.stdout).id).toBe(id);
        else expect(state.stderr).toContain("does not exist");
        expect({ point, ...(await lab.callReaping("delete", "--force", id)) }).toEqual({
          point,
          code: 0,
          stdout: "",
          stderr: "",
        });
        expect({ point, traces: lab.traces(id) }).toEqual({ point, traces: [] });
      }
      // The last points may lie behind the end, as no two runs make the same number of calls.
      expect(killed).toBeGreaterThan(points.length / 2);
    });
  }
});

test("calls on one id at the same time follow one another", async () => {
  const { id, pid } = lab.running();
  const wanted = [
    ["state", id],
    ["kill", id, "KILL"],
    ["pause", id],
    ["exec", id, "true"],
    ["update", "--pids-limit", "20", id],
    ["delete", "--force", id],
    ["list", "-f", "json"],
    ["resume", id],
    ["ps", "-f", "json", id],
    ["kill", "--all", id, "KILL"],
    ["delete", id],
    ["start", id],
    ["create", "--bundle", lab.bundle, id],
  ];
  const storm = [...wanted, ...wanted, ...wanted].map((args) => ({
    args,
    child: Bun.spawn(lab.argv(...args), { stdin: "ignore", stdout: "pipe", stderr: "pipe" }),
  }));
  for (const { args, child } of storm) {
    const code = await child.exited;
    // What init has as stdout is the pipe that create got: it is not read to its end.
    const [verb] = args;
    if (verb === "create" || verb === "exec") continue;
    const stderr = await new Response(child.stderr).text();
    const known = /does not exist|not running|not stopped|not paused|has run|has stopped|already running/;
    if (code !== 0) expect({ args, code, stderr }).toMatchObject({ stderr: expect.stringMatching(known) });
    else expect({ args, stderr }).toEqual({ args, stderr: "" });
  }
  waitChild(pid);
  expect(lab.call("delete", "--force", id)).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(lab.traces(id)).toEqual([]);
});

test("a process that got init's number later is spared by every verb", async () => {
  const { id, pid } = lab.running();
  lab.must("kill", id, "KILL");
  waitChild(pid);
  await using bystander = Bun.spawn(["/bin/sleep", "1000"]);
  const record = lab.record(id);
  if (record.init === undefined) throw new Error("the record has no init");
  // Its own start time is another one: the boot's ticks have moved on.
  expect(readStat(bystander.pid)?.startTime).not.toBe(record.init.startTime);
  record.init.pid = bystander.pid;
  writeFileSync(join(lab.root, id, "state.json"), JSON.stringify(record));
  expect(lab.status(id)).toBe("stopped");
  expect(JSON.parse(lab.must("state", id)).pid).toBe(0);
  expect(JSON.parse(lab.must("ps", "-f", "json", id))).toEqual([]);
  for (const args of [
    ["kill", id, "KILL"],
    ["start", id],
    ["exec", id, "true"],
    ["pause", id],
    ["update", "--pids-limit", "9", id],
  ]) {
    expect({ args, code: lab.call(...args).code }).not.toEqual({ args, code: 0 });
  }
  lab.call("kill", "--all", id, "KILL");
  lab.must("delete", "--force", id);
  using pidfd = openPidfd(bystander.pid);
  if (pidfd === undefined) throw new Error("the bystander has gone");
  expect(waitEnded(pidfd, 0)).toBe(false);
  bystander.kill(9);
  await bystander.exited;
  expect(lab.traces(id)).toEqual([]);
});
