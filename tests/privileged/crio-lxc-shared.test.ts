import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { waitChild } from "../../src/sys/pid.ts";
import { type Config, ContainerLab } from "../support/container-lab.ts";
import { patience } from "../support/slowness.ts";

/** Namespaces that are new, joined by path, or inherited; user namespaces; descriptors that are handed on. */

const FIRST_ID = 100_000;
let lab: ContainerLab;
const holders: Bun.Subprocess[] = [];
beforeAll(() => {
  lab = new ContainerLab();
  // Root of a user namespace has to find the root directory.
  for (const path of [lab.scratch, lab.bundle]) chmodSync(path, 0o755);
});
afterEach(async () => {
  for (const holder of holders.splice(0)) {
    holder.kill(9);
    await holder.exited;
  }
});
afterAll(() => lab[Symbol.dispose]());

/** Names in /proc/PID/ns. */
const FILES = {
  network: "net",
  ipc: "ipc",
  uts: "uts",
  cgroup: "cgroup",
  time: "time",
  pid: "pid",
  user: "user",
  mount: "mnt",
};
type Kind = keyof typeof FILES;

function namespaceOf(pid: number, kind: Kind): string {
  return readlinkSync(`/proc/${pid}/ns/${FILES[kind]}`);
}

function withNamespaces(
  kinds: Readonly<Partial<Record<Kind, string>>>,
  more: (config: Config) => void = () => undefined,
) {
  return (config: Config): void => {
    config.linux.namespaces = Object.entries(kinds).map(([type, path]) =>
      path === "new" ? { type } : { type, path },
    );
    if (kinds.uts === undefined) delete config["hostname"];
    // sysfs shows the network's devices: it takes the owner of that namespace.
    if (Array.isArray(config["mounts"]) && kinds.network === undefined) {
      config["mounts"] = config["mounts"].filter(({ type }) => type !== "sysfs" && type !== "cgroup");
    }
    more(config);
  };
}

const NEW = { pid: "new", mount: "new", ipc: "new", uts: "new", network: "new" } as const;

/** A process in new namespaces: what a pod's first container, or pinns, is. */
async function holder(...options: readonly string[]): Promise<number> {
  const child = Bun.spawn(["unshare", ...options, "sh", "-c", "echo; exec sleep 1000"], {
    stdout: "pipe",
    stderr: "inherit",
  });
  holders.push(child);
  await child.stdout.getReader().read();
  return child.pid;
}

describe("joined by path", () => {
  const cases = [
    ["network", "--net"],
    ["ipc", "--ipc"],
    ["uts", "--uts"],
  ] as const;
  for (const [kind, option] of cases) {
    test(`a ${kind} namespace, by init and by exec`, async () => {
      const other = await holder(option);
      const path = `/proc/${other}/ns/${FILES[kind]}`;
      const { id, pid } = lab.running(
        withNamespaces({ ...NEW, [kind]: path }, (config) => {
          if (kind === "uts") delete config["hostname"];
        }),
      );
      expect(namespaceOf(pid, kind)).toBe(namespaceOf(other, kind));
      expect(namespaceOf(pid, kind)).not.toBe(namespaceOf(process.pid, kind));
      expect(lab.must("exec", id, "readlink", `/proc/self/ns/${FILES[kind]}`).trim()).toBe(
        namespaceOf(other, kind),
      );
    });
  }

  test("another container's PID namespace: its processes are seen, its exit code is its own", () => {
    const first = lab.running(withNamespaces(NEW));
    const change = withNamespaces({ ...NEW, pid: `/proc/${first.pid}/ns/pid` }, (config) => {
      config.process.args = ["sh", "-c", "ps -o comm; exit 7"];
    });
    const id = lab.container(change);
    const pid = lab.create(id);
    expect(namespaceOf(pid, "pid")).toBe(namespaceOf(first.pid, "pid"));
    lab.must("start", id);
    expect(waitChild(pid)).toBe(7);
    lab.must("delete", id);
    expect(lab.status(first.id)).toBe("running");
    expect(lab.traces(id)).toEqual([]);
  });

  test("what is left of a container in a shared PID namespace is ended by kill --all, and by delete --force", async () => {
    const first = lab.running(withNamespaces(NEW));
    const change = withNamespaces({ ...NEW, pid: `/proc/${first.pid}/ns/pid` }, (config) => {
      config.process.args = ["sh", "-c", "sleep 1000 & exec sleep 999"];
    });
    for (const verbs of [[["kill", "--all"], ["delete"]], [["delete", "--force"]]]) {
      const { id, pid } = lab.running(change);
      while (JSON.parse(lab.must("ps", "-f", "json", id)).length < 2) Bun.sleepSync(10);
      lab.must("kill", id, "KILL");
      waitChild(pid);
      expect(lab.status(id)).toBe("stopped");
      expect(JSON.parse(lab.must("ps", "-f", "json", id))).toHaveLength(1);
      for (const [verb = "", ...options] of verbs) {
        const answer = await lab.callReaping(verb, ...options, id, ...(verb === "kill" ? ["KILL"] : []));
        expect(answer).toEqual({ code: 0, stdout: "", stderr: "" });
      }
      expect(lab.traces(id)).toEqual([]);
    }
    expect(lab.status(first.id)).toBe("running");
  });

  test("a cgroup namespace, which liblxc would make anew", async () => {
    const other = await holder("--cgroup");
    const { pid } = lab.running(withNamespaces({ ...NEW, cgroup: `/proc/${other}/ns/cgroup` }));
    expect(namespaceOf(pid, "cgroup")).toBe(namespaceOf(other, "cgroup"));
  });

  test("a path of another kind, or of nothing, is an error that leaves nothing", async () => {
    const other = await holder("--net");
    for (const path of [`/proc/${other}/ns/net`, "/proc/self/status", "/nonexistent"]) {
      const id = lab.container(withNamespaces({ ...NEW, ipc: path }));
      const answer = lab.call("create", "--bundle", lab.bundle, id);
      expect(answer.code).toBe(1);
      expect(answer.stderr).toContain(path);
      expect(lab.traces(id)).toEqual([]);
    }
  });
});

test("namespaces that are not named are inherited, those that are named are new", () => {
  const { id, pid } = lab.running(withNamespaces({ mount: "new", pid: "new", time: "new" }));
  for (const kind of ["network", "ipc", "uts", "user", "cgroup"] as const) {
    expect({ kind, namespace: namespaceOf(pid, kind) }).toEqual({
      kind,
      namespace: namespaceOf(process.pid, kind),
    });
  }
  for (const kind of ["mount", "pid", "time"] as const) {
    expect({ kind, namespace: namespaceOf(pid, kind) }).not.toEqual({
      kind,
      namespace: namespaceOf(process.pid, kind),
    });
  }
  expect(lab.must("exec", id, "readlink", "/proc/self/ns/time").trim()).toBe(namespaceOf(pid, "time"));
});

describe("a user namespace", () => {
  const maps = [{ containerID: 0, hostID: FIRST_ID, size: 65536 }];

  function withUser(
    kinds: Readonly<Partial<Record<Kind, string>>>,
    script?: string,
  ): (config: Config) => void {
    return withNamespaces(kinds, (config) => {
      if (kinds.user === "new") Object.assign(config.linux, { uidMappings: maps, gidMappings: maps });
      if (script !== undefined) config.process.args = ["sh", "-c", script];
      config["root"] = { path: "rootfs" };
    });
  }

  function giveRootTo(owner: number): void {
    const rootfs = join(lab.bundle, "rootfs");
    for (const path of [rootfs, ...readdirSync(rootfs).map((name) => join(rootfs, name))])
      chownSync(path, owner, owner);
  }

  test("of its own: root inside is nobody outside", () => {
    giveRootTo(FIRST_ID);
    const script = "id -u; id -g; echo written >/tmp/file; cat /proc/self/uid_map; sleep 1000";
    const { id, pid } = lab.running(withUser({ ...NEW, user: "new" }, script));
    expect(readFileSync(`/proc/${pid}/uid_map`, "latin1").trim().split(/\s+/)).toEqual([
      "0",
      String(FIRST_ID),
      "65536",
    ]);
    expect(readFileSync(`/proc/${pid}/gid_map`, "latin1").trim().split(/\s+/)).toEqual([
      "0",
      String(FIRST_ID),
      "65536",
    ]);
    expect(statSync(`/proc/${pid}`).uid).toBe(FIRST_ID);
    const file = join(lab.bundle, "rootfs/tmp/file");
    const deadline = Date.now() + patience(60_000);
    while (statSync(file, { throwIfNoEntry: false }) === undefined && Date.now() < deadline)
      Bun.sleepSync(20);
    expect(statSync(file).uid).toBe(FIRST_ID);
    expect(lab.must("exec", id, "id", "-u")).toBe("0\n");
    expect(lab.must("exec", id, "readlink", "/proc/self/ns/user").trim()).toBe(namespaceOf(pid, "user"));
    lab.must("kill", id, "KILL");
    expect(waitChild(pid)).toBe(137);
    lab.must("delete", id);
    expect(lab.traces(id)).toEqual([]);
  });

  test("of another container, with the rest of what a pod shares", () => {
    giveRootTo(FIRST_ID);
    const first = lab.running(withUser({ ...NEW, user: "new" }));
    const shared = Object.fromEntries(
      (["user", "ipc", "uts", "network"] as const).map((kind) => [
        kind,
        `/proc/${first.pid}/ns/${FILES[kind]}`,
      ]),
    );
    const { id, pid } = lab.running(withUser({ pid: "new", mount: "new", ...shared }));
    for (const kind of ["user", "ipc", "uts", "network"] as const) {
      expect({ kind, namespace: namespaceOf(pid, kind) }).toEqual({
        kind,
        namespace: namespaceOf(first.pid, kind),
      });
    }
    expect(lab.must("exec", id, "id", "-u")).toBe("0\n");
    lab.must("delete", "--force", id);
    expect(lab.traces(id)).toEqual([]);
  });
});

test("groups of the caller, where an annotation keeps them: of init, of exec, and a refusal where they have no number", () => {
  const keep = { "run.oci.keep_original_groups": "1" };
  const as = (groups: string, ...argv: readonly string[]) =>
    lab.spawn(["setpriv", "--groups", groups, ...lab.argv(...argv)]);
  const shown = (pid: string): string => `sed -n s/^Groups:.//p /proc/${pid}/status`;
  const id = lab.container((config) => {
    config["annotations"] = keep;
    config.process["user"] = { uid: 1000, gid: 1000, additionalGids: [5] };
  });
  expect(as("7,77", "run", "--detach", "--bundle", lab.bundle, id)).toEqual({
    code: 0,
    stdout: "",
    stderr: "",
  });
  expect(as("8,88", "exec", id, "sh", "-c", `${shown("1")}; ${shown("self")}`).stdout).toBe("7 77 \n8 88 \n");
  lab.must("delete", "--force", id);
  const map = [{ containerID: 0, hostID: FIRST_ID, size: 1000 }];
  const mapped = lab.container((config) => {
    config["annotations"] = keep;
    config.linux.namespaces.push({ type: "user" });
    Object.assign(config.linux, { uidMappings: map, gidMappings: map });
    config.process.args = ["sh", "-c", shown("self")];
  });
  chownSync(join(lab.bundle, "rootfs"), FIRST_ID, FIRST_ID);
  expect(as(`${FIRST_ID + 9}`, "run", "--bundle", lab.bundle, mapped)).toEqual({
    code: 0,
    stdout: "9 \n",
    stderr: "",
  });
  const refused = as("7", "run", "--bundle", lab.bundle, mapped);
  expect(refused.stderr).toContain("the caller's group 7 is not in linux.gidMappings");
  expect(refused.code).toBe(1);
});

describe("descriptors of the caller", () => {
  test("stdin is the container's, whatever it is", () => {
    const id = lab.container((config) => {
      config.process.args = ["sh", "-c", "readlink /proc/self/fd/0; cat"];
    });
    const words = lab.argv("run", "--bundle", lab.bundle, id).join(" ");
    const piped = lab.spawn(["sh", "-c", `echo typed | ${words}`]);
    expect(piped).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^pipe:\[[0-9]+\]\ntyped\n$/),
      stderr: "",
    });
    const nothing = lab.spawn(["sh", "-c", `${words} </dev/null`]);
    expect(nothing).toEqual({ code: 0, stdout: "/dev/null\n", stderr: "" });
  });

  function shellAround(words: readonly string[], environment = ""): string {
    const quoted = words.map((word) => `'${word}'`).join(" ");
    return `exec 3<${lab.scratch}/three 4<${lab.scratch}/four 5<${lab.scratch}/five; ${environment} exec ${quoted}`;
  }

  beforeAll(() => {
    for (const name of ["three", "four", "five"]) writeFileSync(join(lab.scratch, name), `${name}\n`);
  });

  test("--preserve-fds hands on as many as it says, and no other", () => {
    const id = lab.container((config) => {
      config.process.args = ["sh", "-c", "cat <&3; cat <&4; ls /proc/self/fd"];
    });
    const argv = lab.argv("run", "--preserve-fds", "2", "--bundle", lab.bundle, id);
    // 5 is the directory that ls reads.
    expect(lab.spawn(["sh", "-c", shellAround(argv)])).toEqual({
      code: 0,
      stdout: "three\nfour\n0\n1\n2\n3\n4\n5\n",
      stderr: "",
    });
  });

  test("without it, none", () => {
    const id = lab.container((config) => {
      config.process.args = ["ls", "/proc/self/fd"];
    });
    expect(lab.spawn(["sh", "-c", shellAround(lab.argv("run", "--bundle", lab.bundle, id))]).stdout).toBe(
      "0\n1\n2\n3\n",
    );
  });

  test("exec --preserve-fds", () => {
    const { id } = lab.running();
    const argv = lab.argv(
      "exec",
      "--preserve-fds",
      "2",
      id,
      "sh",
      "-c",
      "cat <&3; cat <&4; ls /proc/self/fd",
    );
    expect(lab.spawn(["sh", "-c", shellAround(argv)]).stdout).toBe("three\nfour\n0\n1\n2\n3\n4\n5\n");
  });

  test("LISTEN_FDS of socket activation, with LISTEN_PID of the container", () => {
    const id = lab.container((config) => {
      config.process.args = [
        "sh",
        "-c",
        "echo $LISTEN_FDS $LISTEN_PID $$; cat <&3; cat <&4; ls /proc/self/fd",
      ];
    });
    const argv = lab.argv("run", "--preserve-fds", "1", "--bundle", lab.bundle, id);
    expect(lab.spawn(["sh", "-c", shellAround(argv, "LISTEN_FDS=1 LISTEN_PID=$$")])).toEqual({
      code: 0,
      stdout: "1 1 1\nthree\nfour\n0\n1\n2\n3\n4\n5\n",
      stderr: "",
    });
  });

  test("one that is not open is an error that leaves nothing", () => {
    const id = lab.container();
    const argv = lab.argv("create", "--preserve-fds", "9", "--bundle", lab.bundle, id);
    const answer = lab.spawn(argv);
    expect(answer.code).toBe(1);
    expect(lab.traces(id)).toEqual([]);
  });
});
