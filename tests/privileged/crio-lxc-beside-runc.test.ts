import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { waitChild } from "../../src/sys/pid.ts";
import { type Answer, ContainerLab } from "../support/container-lab.ts";
import { patience } from "../support/slowness.ts";

/** The same command lines under runc and under crio-lxc: exit codes, what is on stdout, and the words that engines look for. */

const NAMES = ["runc", "crio-lxc"] as const;
let labs: readonly (readonly [name: (typeof NAMES)[number], lab: ContainerLab])[];
beforeAll(() => {
  labs = NAMES.map((name) => [
    name,
    name === "runc" ? new ContainerLab(Bun.which("runc") ?? "runc") : new ContainerLab(),
  ]);
  for (const [, { bundle }] of labs)
    writeFileSync(join(bundle, "rootfs/garbage"), "\x7fgarbage", { mode: 0o755 });
}, patience(300_000));
afterAll(() => {
  for (const [, lab] of labs) lab[Symbol.dispose]();
});

/** "failed": the kernel does not execute its program, which runc's `start` does not wait for. */
type State = "absent" | "created" | "paused unstarted" | "running" | "paused" | "stopped" | "failed";

function inState(lab: ContainerLab, state: State): string {
  const id = lab.container((config) => {
    if (state === "failed") config.process.args = ["/garbage"];
  });
  if (state === "absent") return id;
  const pid = lab.create(id);
  if (state === "failed") {
    lab.call("start", id);
    waitChild(pid);
    return id;
  }
  if (state !== "created" && state !== "paused unstarted") {
    lab.must("start", id);
    waitExecuted(pid);
  }
  if (state.startsWith("paused")) lab.must("pause", id);
  if (state === "stopped") {
    lab.must("kill", id, "KILL");
    waitChild(pid);
  }
  return id;
}

/** runc's start does not wait until the program is executed. */
function waitExecuted(pid: number): void {
  const name = (): string => readFileSync(`/proc/${pid}/comm`, "latin1");
  for (const deadline = Date.now() + patience(60_000); name().startsWith("runc:"); Bun.sleepSync(1)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} is ${name()}`);
  }
}

/** Calls with "@" for the id; the words that stderr has under both, for a failure. */
const FAILURES: readonly (readonly [state: State, args: string, words: RegExp])[] = [
  ["absent", "state @", /does not exist/],
  ["absent", "start @", /does not exist/],
  ["absent", "kill @", /does not exist/],
  ["absent", "delete @", /does not exist/],
  ["absent", "ps @", /does not exist/],
  ["absent", "pause @", /does not exist/],
  ["absent", "resume @", /does not exist/],
  ["absent", "update --pids-limit 5 @", /does not exist/],
  ["absent", "events --stats @", /does not exist/],
  ["absent", "exec @ true", /does not exist/],
  ["absent", "create --bundle /nonexistent @", /./],
  ["absent", "state ../@", /invalid container id format/i],
  ["absent", "create --bundle BUNDLE a/b", /invalid container id format/i],
  ["absent", "state", /./],
  ["absent", "kill", /./],
  ["absent", "create --no-such-option @", /./],
  ["absent", "--log-format xml list", /./],
  ["running", "create --bundle BUNDLE @", /exist/],
  ["running", "kill @ NOPE", /unknown signal/],
  ["running", "kill @ 99", /./],
  ["running", "start @", /cannot start an already running container/],
  ["running", "delete @", /that is not stopped: running/],
  ["running", "resume @", /container not paused/],
  ["running", "exec @ nope", /executable file not found in \$PATH/],
  ["running", "exec @ /nope", /no such file or directory/],
  ["running", "exec @ /etc", /permission denied/],
  ["running", "exec --cwd /nope @ true", /no such file or directory/],
  ["running", "exec @", /./],
  ["running", "ps -f xml @", /./],
  ["paused unstarted", "start @", /cannot start a container in the paused state/],
  ["paused unstarted", "delete @", /that is not stopped: paused/],
  ["paused", "pause @", /container not running/],
  ["paused", "exec @ true", /cannot exec in a paused container/],
  ["paused", "delete @", /that is not stopped: paused/],
  ["failed", "start @", /cannot start a container that has stopped/],
  ["failed", "kill @ TERM", /container not running/],
  ["failed", "exec @ true", /cannot exec in a.*stopped/],
  ["stopped", "start @", /cannot start a container that has stopped/],
  ["stopped", "kill @ TERM", /container not running/],
  ["stopped", "pause @", /container not running/],
  ["stopped", "resume @", /container not paused/],
  ["stopped", "exec @ true", /cannot exec in a.*stopped/],
  ["stopped", "update --pids-limit 5 @", /container not running/],
  ["stopped", "events --stats @", /is not running/],
];

const SUCCESSES: readonly (readonly [state: State, args: string])[] = [
  ["absent", "delete --force @"],
  ["created", "state @"],
  ["created", "delete @"],
  ["created", "kill @ KILL"],
  ["running", "state @"],
  ["running", "kill @ 0"],
  ["running", "kill @ sigkill"],
  ["running", "kill --all @ 9"],
  ["running", "list"],
  ["running", "list -q"],
  ["running", "list --format json"],
  ["running", "ps @"],
  ["running", "ps @ -o pid,comm"],
  ["running", "ps --format json @"],
  ["running", "pause @"],
  ["running", "exec @ echo word"],
  ["running", "exec -e A=b -u 5:6 -g 7 @ id"],
  ["running", "update --cpu-share 512 @"],
  ["paused", "state @"],
  ["paused", "resume @"],
  ["paused", "kill @ KILL"],
  ["paused", "delete --force @"],
  ["failed", "state @"],
  ["failed", "ps @"],
  ["failed", "delete @"],
  ["stopped", "state @"],
  ["stopped", "kill --all @ KILL"],
  ["stopped", "ps @"],
  ["stopped", "delete @"],
];

async function answers(state: State, args: string): Promise<Record<string, Answer>> {
  const found: Record<string, Answer> = {};
  for (const [name, lab] of labs) {
    const id = inState(lab, state);
    const words = args.split(" ").map((word) => word.replace("@", id).replace("BUNDLE", lab.bundle));
    const answer = await lab.callReaping(...words);
    found[name] = { ...answer, stdout: shape(answer.stdout, id, lab) };
    expect(await lab.callReaping("delete", "--force", id)).toMatchObject({ code: 0 });
  }
  return found;
}

/** An answer without what is another container's or another runtime's by nature. */
function shape(stdout: string, id: string, lab: ContainerLab): string {
  let value: unknown;
  try {
    value = JSON.parse(stdout);
  } catch {
    return stdout
      .replaceAll(id, "ID")
      .replaceAll(lab.bundle, "BUNDLE")
      .replace(/\b[0-9]{2}:[0-9]{2}(:[0-9]{2})?\b/g, "TIME")
      .replace(/\S*T\S*Z\b/g, "DATE")
      .replace(/\b[0-9]{3,9}\b/g, "PID")
      .replace(/ +/g, " ")
      .replace(/ [0-9]{1,2} TIME/g, " LOAD TIME")
      .replace(/ +$/gm, "");
  }
  return JSON.stringify(typesOf(value));
}

function typesOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(typesOf);
  if (typeof value !== "object" || value === null) return typeof value;
  // runc leaves annotations out if there are none.
  const fields = Object.entries(value).filter(([name]) => name !== "annotations");
  return Object.fromEntries(
    fields.map(([name, field]) => [name, typesOf(field)] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

describe("fails in the same way", () => {
  for (const [state, args, words] of FAILURES) {
    test(`${args} (${state})`, async () => {
      const { runc, "crio-lxc": ours } = await answers(state, args);
      expect(ours?.code).not.toBe(0);
      expect(ours?.code).toBe(runc?.code ?? null);
      expect(runc?.stderr).toMatch(words);
      expect(ours?.stderr).toMatch(words);
      expect(ours?.stdout).toBe("");
      // Engines show one line.
      expect(ours?.stderr.trimEnd().split("\n")).toHaveLength(1);
    });
  }
});

describe("succeeds in the same way", () => {
  for (const [state, args] of SUCCESSES) {
    test(`${args} (${state})`, async () => {
      const { runc, "crio-lxc": ours } = await answers(state, args);
      expect(ours).toEqual({ code: 0, stdout: runc?.stdout ?? "", stderr: "" });
      expect(runc?.code).toBe(0);
    });
  }
});

test("a broken config.json is one clear line", async () => {
  for (const text of ["", "{", "[]", '{"ociVersion": 1}', '{"ociVersion":"1.0.2","process":{"args":"sh"}}']) {
    for (const [name, lab] of labs) {
      const id = lab.container();
      writeFileSync(join(lab.bundle, "config.json"), text);
      const answer = await lab.callReaping("create", "--bundle", lab.bundle, id);
      expect({ name, text, code: answer.code }).toEqual({ name, text, code: 1 });
      if (name === "crio-lxc") expect(answer.stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(lab.traces(id)).toEqual([]);
    }
  }
});

describe("update sets the same values", () => {
  const files = [
    ...["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "cpu.shares"],
    ...[
      "cpu.cfs_quota_us",
      "cpu.cfs_period_us",
      "cpuset.cpus",
      "cpuset.mems",
      "pids.max",
      "blkio.bfq.weight",
    ],
    ...["memory.max", "memory.swap.max", "memory.low", "cpu.max", "io.bfq.weight"],
  ];

  /** A cgroup's values by file, whichever hierarchy has it. */
  function valuesOf(pid: number): Record<string, string> {
    const values: Record<string, string> = {};
    for (const line of readFileSync(`/proc/${pid}/cgroup`, "latin1").trim().split("\n")) {
      const [, controllers = "", path = ""] = line.split(":");
      const places =
        controllers === ""
          ? ["", "unified"]
          : controllers.split(",").map((name) => name.replace("name=", ""));
      for (const place of places) {
        for (const file of files.map((name) => [name, join("/sys/fs/cgroup", place, path, name)] as const)) {
          if (existsSync(file[1])) values[file[0]] = readFileSync(file[1], "latin1").trim();
        }
      }
    }
    return values;
  }

  const document = {
    memory: { limit: 64 << 20, reservation: 32 << 20 },
    cpu: { shares: 300, quota: 30_000, period: 90_000, cpus: "0", mems: "0" },
    pids: { limit: 44 },
  };
  const cases: readonly (readonly [args: string, stdin?: string])[] = [
    ["--memory 67108864"],
    ["--memory 64M --memory-swap 128m"],
    ["--memory 64M --memory-swap -1"],
    ["--memory-reservation 33554432"],
    ["--cpu-share 2000"],
    ["--cpu-quota 50000"],
    ["--cpu-quota 50000 --cpu-period 200000"],
    ["--cpuset-cpus 0"],
    ["--cpuset-mems 0"],
    ["--pids-limit 33"],
    ["--pids-limit -1"],
    ["--blkio-weight 500"],
    ["--memory 64M --pids-limit 12 --cpu-share 99"],
    ["--resources -", JSON.stringify(document)],
    ["--resources -", "{}"],
  ];
  for (const [args, stdin] of cases) {
    test(`${args} ${stdin ?? ""}`, () => {
      const results = labs.map(([name, lab]) => {
        const { id, pid } = lab.running();
        const argv = lab.argv("update", ...args.split(" "), id);
        const { code } = lab.spawn(argv, stdin === undefined ? {} : { stdin });
        const values = valuesOf(pid);
        lab.must("delete", "--force", id);
        return { name, code, values };
      });
      const [runc, ours] = results;
      expect(ours?.code).toBe(runc?.code ?? null);
      if (runc?.code === 0) expect(ours?.values).toEqual(runc.values);
    });
  }
});
