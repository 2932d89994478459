import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Config, ContainerLab } from "../support/container-lab.ts";
import { testUnless } from "../support/needs.ts";
import { patience } from "../support/slowness.ts";

/** What a process that joins a container has of the container, and not of its caller; beside runc where that has the same. */

const NAMES = ["runc", "crio-lxc"] as const;
let labs: readonly ContainerLab[];
let ours: ContainerLab;
beforeAll(() => {
  ours = new ContainerLab();
  labs = NAMES.map((name) => (name === "runc" ? new ContainerLab(Bun.which("runc") ?? "runc") : ours));
  for (const { scratch, bundle } of labs) for (const path of [scratch, bundle]) chmodSync(path, 0o755);
}, patience(300_000));
afterAll(() => {
  for (const lab of labs) lab[Symbol.dispose]();
});

describe("the environment", () => {
  test("--env takes the place of the container's variable", () => {
    for (const lab of labs) {
      const { id } = lab.running((config) => {
        config.process["env"] = ["PATH=/bin", "A=1", "B=2", "A=3", "HOME=/own"];
      });
      const said = lab.must("exec", "-e", "A=4", "-e", "C=5", "-e", "A=6", id, "env").trim().split("\n");
      expect(said.sort()).toEqual(["A=6", "B=2", "C=5", "HOME=/own", "PATH=/bin"]);
    }
  });

  test("a container's own has each name once", () => {
    for (const lab of labs) {
      const id = lab.container((config) => {
        config.process["env"] = ["PATH=/bin", "A=1", "HOME=/own", "HOME=", "A=3"];
        config.process.args = ["env"];
      });
      const said = lab.must("run", "--bundle", lab.bundle, id).trim().split("\n");
      expect(said.sort()).toEqual(["A=3", "HOME=/", "PATH=/bin"]);
    }
  });
});

describe("--process", () => {
  const capabilities = ["CAP_KILL", "CAP_CHOWN"];
  const SHOW = [
    ...[
      "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
      "grep -E 'open files|core' /proc/self/limits",
    ],
    ...["umask", "cat /proc/self/oom_score_adj", "id"],
  ].join(";");

  /** What the container's own process and one of a document have, under each runtime. */
  function shown(document: object): { readonly own: string; readonly joined: string }[] {
    return labs.map((lab) => {
      const id = lab.container((config) => {
        Object.assign(config.process, {
          args: ["sh", "-c", `(${SHOW}) >/dev/shm/shown; sleep 1000`],
          user: { uid: 0, gid: 0, umask: 0o27 },
          capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
          rlimits: [{ type: "RLIMIT_NOFILE", soft: 77, hard: 88 }],
          oomScoreAdj: 900,
        });
        config.linux["seccomp"] = {
          defaultAction: "SCMP_ACT_ALLOW",
          syscalls: [{ names: ["swapon"], action: "SCMP_ACT_ERRNO" }],
        };
      });
      lab.create(id);
      lab.must("start", id);
      const file = join(lab.scratch, "process.json");
      writeFileSync(
        file,
        JSON.stringify({ args: ["sh", "-c", SHOW], cwd: "/", env: ["PATH=/bin"], ...document }),
      );
      const joined = lab.must("exec", "--process", file, id);
      const read = [
        "exec",
        id,
        "sh",
        "-c",
        "until grep -q uid= /dev/shm/shown; do sleep 0.01; done; cat /dev/shm/shown",
      ];
      return { own: lab.must(...read), joined };
    });
  }

  /** runc 1.1 gives it its own limits unless some are named. */
  function withoutLimit(text = ""): string {
    return text.replace(/^Max open files .*\n/gm, "");
  }

  /** Of a process that names none it is 022, under both. */
  function withoutUmask(text = ""): string {
    return text.replace(/^0[0-7]{3}\n/gm, "");
  }

  test("without capabilities, limits and score it has the container's", () => {
    const [runc, crio] = shown({ user: { uid: 0, gid: 0 }, noNewPrivileges: true });
    expect(crio?.joined).toMatch(/^Max open files +77 +88 /m);
    expect(withoutUmask(crio?.joined)).toBe(withoutUmask(crio?.own));
    expect(crio?.own).toBe(runc?.own ?? "");
    expect(withoutLimit(crio?.joined)).toBe(withoutLimit(runc?.joined));
  });

  test("what it names is its own", () => {
    const sets = { bounding: ["CAP_CHOWN"], effective: [], permitted: ["CAP_CHOWN"] };
    const rlimits = [{ type: "RLIMIT_CORE", soft: 0, hard: 0 }];
    const [runc, crio] = shown({ user: { uid: 5, gid: 6 }, capabilities: sets, rlimits });
    expect(withoutLimit(crio?.joined)).toBe(withoutLimit(runc?.joined));
  });
});

describe("the session keyring", () => {
  const SECRET = "callers-keyring";
  const KEYCTL = process.arch === "x64" ? 250 : 219;
  /** Runs a command in a new keyring that only who possesses it can see. */
  const INSIDE = [
    "perl",
    "-e",
    `my $name = "${SECRET}"; my $ring = syscall(${KEYCTL}, 1, $name); die "join: $!" if $ring < 0;` +
      ` die "permit: $!" if syscall(${KEYCTL}, 5, $ring, 0x3f000000) < 0; exec @ARGV; die "exec: $!"`,
  ];
  const unless = existsSync("/proc/keys") ? undefined : "this kernel has no keyrings";
  const userMaps = [{ containerID: 0, hostID: 100_000, size: 65536 }];

  /** /proc/keys is not masked, and the container's own process tells what it sees there. */
  function showing(more: (config: Config) => void = () => undefined): (config: Config) => void {
    return (config) => {
      config.process.args = [
        "sh",
        "-c",
        "cat /proc/keys >/dev/shm/keys; echo end >>/dev/shm/keys; sleep 1000",
      ];
      config.linux["maskedPaths"] = [];
      more(config);
    };
  }

  function keysOf(lab: ContainerLab, id: string, options: readonly string[]) {
    lab.spawn(lab.argv("create", "--bundle", lab.bundle, ...options, id));
    lab.must("start", id);
    const script =
      "until grep -q end /dev/shm/keys; do sleep 0.01; done; cat /dev/shm/keys; echo JOINED; cat /proc/keys";
    const { code, stdout, stderr } = lab.spawn([...INSIDE, ...lab.argv("exec", id, "sh", "-c", script)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [own = "", joined = ""] = stdout.split("JOINED\n");
    // "SERIAL FLAGS USAGE EXPIRY PERMISSIONS UID GID TYPE DESCRIPTION"
    const serials = (keys: string): string[] =>
      keys
        .split("\n")
        .filter((line) => line.includes(` _ses.${id}:`))
        .map((line) => line.split(" ")[0] ?? "");
    return { own: serials(own), joined: serials(joined), seesCallers: joined.includes(SECRET) };
  }

  testUnless(unless, "is the container's, and not the caller's", () => {
    for (const lab of labs) {
      const { own, joined, seesCallers } = keysOf(lab, lab.container(showing()), []);
      expect(own).toHaveLength(1);
      expect({ joined, seesCallers }).toEqual({ joined: own, seesCallers: false });
    }
  });

  testUnless(unless, "also in a user namespace", () => {
    const change = showing((config) => {
      config.linux.namespaces.push({ type: "user" });
      Object.assign(config.linux, { uidMappings: userMaps, gidMappings: userMaps });
      config["root"] = { path: "rootfs" };
    });
    const { own, joined, seesCallers } = keysOf(ours, ours.container(change), []);
    expect(own).toHaveLength(1);
    expect({ joined, seesCallers }).toEqual({ joined: own, seesCallers: false });
  });

  testUnless(unless, "--no-new-keyring of create is one of exec, too", () => {
    for (const lab of labs) {
      const { own, joined, seesCallers } = keysOf(lab, lab.container(showing()), ["--no-new-keyring"]);
      expect({ own, joined, seesCallers }).toEqual({ own: [], joined: [], seesCallers: true });
    }
  });
});

describe("a group of cgroup v2 that hands controllers down", () => {
  const THREADED = ["cpu", "cpuset", "pids", "perf_event"];

  /** Of cgroup v2 mounted here. */
  function root(): string | undefined {
    return ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].find((at) =>
      existsSync(join(at, "cgroup.controllers")),
    );
  }

  function controllers(at: string | undefined): string[] {
    if (at === undefined) return [];
    const names = readFileSync(join(at, "cgroup.controllers"), "latin1").trim().split(" ");
    return names.filter((name) => name !== "" && !THREADED.includes(name));
  }

  const [controller] = controllers(root());
  const unless = controller === undefined ? "cgroup v2 has no controller here that forbids it" : undefined;

  testUnless(unless, "is joined where the container's init is", () => {
    const mountPoint = root() ?? "";
    const { id, pid } = ours.running();
    const group = ours.record(id).cgroups.find((path) => existsSync(join(path, "cgroup.controllers"))) ?? "";
    using restored = new DisposableStack();
    const above: string[] = [];
    for (let at = group; at !== mountPoint; at = dirname(at)) above.unshift(dirname(at));
    for (const at of above) {
      const file = join(at, "cgroup.subtree_control");
      if (
        readFileSync(file, "latin1")
          .split(/\s+/)
          .includes(controller ?? "")
      )
        continue;
      writeFileSync(file, `+${controller}`);
      restored.defer(() => writeFileSync(file, `-${controller}`));
    }
    restored.defer(() => ours.must("delete", "--force", id));
    mkdirSync(join(group, "init"));
    writeFileSync(join(group, "init/cgroup.procs"), String(pid));
    writeFileSync(join(group, "cgroup.subtree_control"), `+${controller}`);
    expect(() => writeFileSync(join(group, "cgroup.procs"), String(pid))).toThrow(/EBUSY/);
    const { code, stdout, stderr } = ours.call("exec", id, "cat", "/proc/self/cgroup");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^0::.*\/init$/m);
    // A group that is asked for by name is that one or an error.
    mkdirSync(join(group, "busy/below"), { recursive: true });
    writeFileSync(join(group, "busy/cgroup.subtree_control"), `+${controller}`);
    expect(ours.call("exec", "--cgroup", "busy", id, "true")).toMatchObject({ code: 255, stdout: "" });
  });
});
