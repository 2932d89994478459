import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { AtomfsError } from "../core/errors.ts";
import { parseRuntimeConfig } from "../formats/oci/runtime-config/parse.ts";
import type { NamespaceType } from "../formats/oci/runtime-config/types.ts";
import { describePlan } from "./describe-plan.ts";
import type { HostFacts } from "./host-facts.ts";
import type { LaunchPlan } from "./plan.ts";
import { type LaunchOptions, planLaunch } from "./planner.ts";
import type { SeccompProfile } from "./seccomp-plan.ts";

const FIXTURES = join(import.meta.dir, "..", "..", "tests", "fixtures", "runtime");
const NAMES = readdirSync(FIXTURES)
  .filter((name) => name.endsWith(".json"))
  .map((name) => name.slice(0, -".json".length))
  .sort();

const ALL_CAPABILITIES = (1n << 41n) - 1n;
const SYS_RESOURCE = 1n << 24n;

/** A virtual machine like those this is developed on: hybrid cgroups, no CAP_SYS_RESOURCE, no LSM. */
const HYBRID: HostFacts = {
  cgroups: {
    layout: "hybrid",
    hierarchies: [
      { mountPoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"] },
      ...["cpuset", "memory", "devices", "freezer", "blkio", "pids"].map((name) => ({
        mountPoint: `/sys/fs/cgroup/${name}`,
        controllers: [name],
      })),
      { mountPoint: "/sys/fs/cgroup/systemd", controllers: ["name=systemd"] },
    ],
    unified: "/sys/fs/cgroup/unified",
    unifiedControllers: [],
    hugePages: true,
  },
  capabilities: {
    bounding: ALL_CAPABILITIES & ~SYS_RESOURCE,
    effective: ALL_CAPABILITIES & ~SYS_RESOURCE,
  },
  groups: [0, 27],
  lastCapability: 40,
  hardLimits: new Map([
    [6, 32768n],
    [7, 20000n],
  ]),
  lowestOomScore: 0,
  apparmor: false,
  selinux: false,
  seccompActions: ["kill_process", "kill_thread", "trap", "errno", "trace", "log", "allow"],
  lxcVersion: { major: 5, minor: 0 },
};

/** Debian as it is installed: cgroup v2, AppArmor, all capabilities. */
const UNIFIED: HostFacts = {
  ...HYBRID,
  cgroups: {
    layout: "v2",
    hierarchies: [],
    unified: "/sys/fs/cgroup",
    unifiedControllers: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"],
    hugePages: true,
  },
  capabilities: { bounding: ALL_CAPABILITIES, effective: ALL_CAPABILITIES },
  lowestOomScore: -1000,
  apparmor: true,
};

/** Not libseccomp, whose bytes differ between versions: only which rules arrive is the planner's. */
function digestRules(profile: SeccompProfile): Uint8Array {
  const text = JSON.stringify(profile, (_key, value) => (typeof value === "bigint" ? String(value) : value));
  return createHash("sha256").update(text).digest();
}

const OPTIONS: LaunchOptions = {
  id: "box",
  bundle: "/bundle",
  rootfs: "/run/root",
  consoleSocket: false,
  preserveDescriptors: 0,
  systemdCgroup: false,
  noNewKeyring: false,
  noPivot: false,
  ownNamespaces: new Set(),
  hostNamespaces: new Set(),
  home: "/root",
  compileSeccomp: digestRules,
};

type Json = { [key: string]: unknown };

function readFixture(name: string): Json {
  return JSON.parse(readFileSync(join(FIXTURES, `${name}.json`), "utf8"));
}

function plan(document: Json, host: HostFacts = HYBRID, options: Partial<LaunchOptions> = {}): LaunchPlan {
  const config = parseRuntimeConfig(Buffer.from(JSON.stringify(document)));
  const consoleSocket = config.process?.terminal ?? false;
  return planLaunch(config, host, { ...OPTIONS, consoleSocket, ...options });
}

/** runc's own template, without a terminal, with changes. */
function template(change: (document: Json & { linux: Json; process: Json }) => void = () => {}): Json {
  const document = readFixture("runc-spec") as Json & { linux: Json; process: Json };
  document.process["terminal"] = false;
  change(document);
  return document;
}

function kinds(made: LaunchPlan): string[] {
  return made.program.operations.map(({ does }) => does.kind);
}

/** Everything that the plan says, in one line a decision. */
function lines(document: Json, host?: HostFacts, options?: Partial<LaunchOptions>): string[] {
  return describePlan(plan(document, host, options))
    .split("\n")
    .map((line) => line.trim());
}

describe.each([
  ["hybrid", HYBRID],
  ["unified", UNIFIED],
] as const)("plans on a machine with %s cgroups", (layout, host) => {
  test.each(NAMES)("%s", (name) => {
    const document = readFixture(name);
    const got = describePlan(plan(document, host));
    const file = join(FIXTURES, "expected", `${name}.${layout}.txt`);
    // UPDATE_EXPECTED=1 writes them again, for a look at the difference.
    if (process.env["UPDATE_EXPECTED"] === "1") writeFileSync(file, got);
    expect(existsSync(file)).toBe(true);
    expect(got).toBe(readFileSync(file, "utf8"));
    expect(describePlan(plan(document, host))).toBe(got);
  });
});

test("every fixture of Podman is there", () => {
  expect(NAMES.filter((name) => name.startsWith("podman-")).length).toBe(13);
});

test.each<[string, (document: Json & { linux: Json; process: Json }) => void]>([
  ["linux.intelRdt", ({ linux }) => Object.assign(linux, { intelRdt: { closID: "a" } })],
  ["linux.memoryPolicy", ({ linux }) => Object.assign(linux, { memoryPolicy: { mode: "MPOL_BIND" } })],
  ["linux.timeOffsets", ({ linux }) => Object.assign(linux, { timeOffsets: { boottime: { secs: 1 } } })],
  ["linux.netDevices", ({ linux }) => Object.assign(linux, { netDevices: { eth0: {} } })],
  ["process.scheduler", ({ process }) => Object.assign(process, { scheduler: { policy: "SCHED_FIFO" } })],
  [
    "process.ioPriority",
    ({ process }) => Object.assign(process, { ioPriority: { class: "IOPRIO_CLASS_RT" } }),
  ],
  ["process.apparmorProfile", ({ process }) => Object.assign(process, { apparmorProfile: "docker-default" })],
  ["process.selinuxLabel", ({ process }) => Object.assign(process, { selinuxLabel: "u:r:t:s0" })],
  ["linux.mountLabel", ({ linux }) => Object.assign(linux, { mountLabel: "u:r:t:s0" })],
  [
    "linux.personality.flags",
    ({ linux }) => Object.assign(linux, { personality: { domain: "LINUX", flags: ["x"] } }),
  ],
  [
    "linux.seccomp.listenerPath",
    ({ linux }) => Object.assign(linux, { seccomp: { defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/s" } }),
  ],
  [
    "linux.seccomp.flags",
    ({ linux }) =>
      Object.assign(linux, {
        seccomp: { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_NEW"] },
      }),
  ],
  [
    "mounts[0].options",
    (all) =>
      Object.assign(all, {
        mounts: [{ destination: "/x", source: "/y", options: ["bind", "idmap=uids=0-1-10"] }],
      }),
  ],
])("%s is refused, never left out", (field, change) => {
  expect(() => plan(template(change))).toThrow(
    expect.objectContaining({ kind: "unsupported", message: expect.stringContaining(field) }),
  );
});

test.each<[string, string, (document: Json & { linux: Json; process: Json }) => void]>([
  ["hostname", "bad-data", (all) => Object.assign(all.linux, { namespaces: [{ type: "mount" }] })],
  [
    "linux.sysctl.kernel.panic",
    "bad-data",
    ({ linux }) => Object.assign(linux, { sysctl: { "kernel.panic": "1" } }),
  ],
  [
    "linux.sysctl.net.x",
    "bad-data",
    (all) => {
      Object.assign(all, { hostname: "" });
      Object.assign(all.linux, { namespaces: [{ type: "mount" }], sysctl: { "net.x": "1" } });
    },
  ],
  [
    "linux.sysctl.net/../kernel",
    "bad-data",
    ({ linux }) => Object.assign(linux, { sysctl: { "net/../kernel/panic": "1" } }),
  ],
  ["linux.cgroupsPath", "bad-data", ({ linux }) => Object.assign(linux, { cgroupsPath: "/a/../../b" })],
  [
    "linux.cgroupsPath",
    "bad-data",
    ({ linux }) => Object.assign(linux, { cgroupsPath: "/a\nlxc.cap.keep = sys_admin" }),
  ],
  [
    "linux.uidMappings",
    "bad-data",
    ({ linux }) =>
      Object.assign(linux, { namespaces: [{ type: "mount" }, { type: "user" }, { type: "uts" }] }),
  ],
  [
    "unknown for a bind mount",
    "bad-data",
    (all) =>
      Object.assign(all, { mounts: [{ destination: "/x", source: "/y", type: "bind", options: ["roo"] }] }),
  ],
  [
    "mounts[0].destination",
    "bad-data",
    (all) => Object.assign(all, { mounts: [{ destination: "/..", type: "tmpfs" }] }),
  ],
])("%s: %s", (message, kind, change) => {
  expect(() => plan(template(change))).toThrow(
    expect.objectContaining({ kind, message: expect.stringContaining(message) }),
  );
});

test.each([
  ["net.ipv4.ip_forward", "network"],
  ["kernel.msgmax", "ipc"],
  ["fs.mqueue.msg_max", "ipc"],
  ["kernel.domainname", "uts"],
] as const)(
  "%s is refused in the host's %s namespace, also given by path; a joined one may have it",
  (name, type) => {
    const document = template(({ linux }) =>
      Object.assign(linux, {
        namespaces: [{ type: "mount" }, { type: "uts" }, { type, path: "/proc/1/ns/x" }].filter(
          (one, i) => i !== 1 || type !== one.type,
        ),
        sysctl: { [name]: "1" },
      }),
    );
    expect(() => plan(document, HYBRID, { hostNamespaces: new Set<NamespaceType>([type]) })).toThrow(
      expect.objectContaining({
        kind: "bad-data",
        message: expect.stringContaining(
          `linux.sysctl.${name} is not allowed in the host's ${type} namespace: it would change the host`,
        ),
      }),
    );
    expect(kinds(plan(document, HYBRID, { hostNamespaces: new Set<NamespaceType>(["mount"]) }))).toContain(
      "write-sysctl",
    );
  },
);

test("a terminal and a console socket go together", () => {
  expect(() => plan(readFixture("runc-spec"), HYBRID, { consoleSocket: false })).toThrow("--console-socket");
  expect(() => plan(template(), HYBRID, { consoleSocket: true })).toThrow("--console-socket");
});

test("a container without a process can be created and has nothing to execute", () => {
  const made = plan(template((all) => Reflect.deleteProperty(all, "process")));
  expect(made.state.hasProcess).toBe(false);
  expect(kinds(made)).not.toContain("execute");
  expect(kinds(made).at(-1)).toBe("await-start");
});

test("startContainer hooks come last before the program, with all that binds it; without a process there are none", () => {
  const hooks = { startContainer: [{ path: "/bin/one" }, { path: "/bin/two" }] };
  const seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [] };
  const lastOf = (noNewPrivileges: boolean): string[] =>
    kinds(
      plan(
        template((all) => {
          Object.assign(all, { hooks });
          Object.assign(all.process, { noNewPrivileges });
          Object.assign(all.linux, { seccomp });
        }),
      ),
    ).slice(-6);
  const end = ["run-hook", "run-hook", "execute"];
  expect(lastOf(true)).toEqual(["set-identity", "set-no-new-privileges", "load-seccomp", ...end]);
  expect(lastOf(false)).toEqual(["change-directory", "load-seccomp", "set-identity", ...end]);
  const without = plan(
    template((all) => {
      Reflect.deleteProperty(all, "process");
      Object.assign(all, { hooks });
    }),
  );
  expect(kinds(without)).not.toContain("run-hook");
});

test("createContainer hooks run in the runtime's tree, after the mounts and before the root can be shared or read-only", () => {
  const hooks = {
    createContainer: [{ path: "/bin/one" }, { path: "/bin/two", args: ["argv0"], timeout: 3e6 }],
  };
  const made = plan(
    template((all) => {
      Object.assign(all, { hooks, root: { path: "rootfs", readonly: true } });
      Object.assign(all.linux, { rootfsPropagation: "shared" });
    }),
  );
  const order = kinds(made);
  const at = order.indexOf("enter-runtime-tree");
  expect(order.slice(at, at + 4)).toEqual([
    "enter-runtime-tree",
    "run-hook",
    "run-hook",
    "leave-runtime-tree",
  ]);
  const last = (kind: string): number => order.lastIndexOf(kind);
  expect(Math.max(last("mount-filesystem"), last("make-node"), last("make-symlink"))).toBeLessThan(at);
  expect(Math.min(last("set-propagation"), last("make-root-readonly"))).toBeGreaterThan(at);
  expect(made.descriptors).toContainEqual({ kind: "runtime-tree" });
  const [one, two] = made.program.operations.flatMap(({ does }) => (does.kind === "run-hook" ? [does] : []));
  expect(one).toMatchObject({ args: ["/bin/one"], name: "createContainer hook #0", timeoutMs: 0 });
  expect(two).toMatchObject({ args: ["argv0"], name: "createContainer hook #1", timeoutMs: 2 ** 31 - 1 });
  expect(JSON.parse(Buffer.from(one?.state ?? []).toString())).toMatchObject({ status: "creating", pid: 1 });
});

test("createContainer hooks change no mount namespace that others use", () => {
  const hooks = { createContainer: [{ path: "/h" }] };
  const change = (all: Json & { linux: Json }): void => {
    Object.assign(all, { hooks });
    Object.assign(all.linux, { namespaces: [{ type: "mount", path: "/proc/1/ns/mnt" }, { type: "uts" }] });
  };
  expect(() => plan(template(change))).toThrow("hooks.createContainer");
});

test("without a cgroup namespace, a user namespace gets the host's mount of cgroup v2", () => {
  const change = (all: Json & { linux: Json }): void => {
    const map = [{ containerID: 0, hostID: 100_000, size: 1000 }];
    const namespaces = [{ type: "mount" }, { type: "user" }, { type: "uts" }, { type: "network" }];
    Object.assign(all.linux, { uidMappings: map, gidMappings: map, namespaces });
  };
  const made = plan(template(change), UNIFIED).descriptors;
  expect(made).toContainEqual(expect.objectContaining({ kind: "bind-source", path: "/sys/fs/cgroup" }));
});

test("groups of the caller that are kept have their numbers in the user namespace, or it is refused", () => {
  const kept = (gidMappings: readonly Json[]): unknown =>
    plan(
      template((all) => {
        Object.assign(all, { annotations: { "run.oci.keep_original_groups": "1" } });
        if (gidMappings.length === 0) return;
        const namespaces = [{ type: "mount" }, { type: "user" }, { type: "uts" }, { type: "network" }];
        Object.assign(all.linux, { namespaces, uidMappings: gidMappings, gidMappings });
      }),
    ).program.operations.flatMap(({ does }) =>
      does.kind === "set-groups" || does.kind === "find-executable" ? [does.groups] : [],
    );
  expect(kept([])).toEqual([
    [0, 27],
    [0, 27],
  ]);
  const low = { containerID: 100, hostID: 0, size: 10 };
  expect(kept([low, { containerID: 0, hostID: 20, size: 50 }])).toEqual([
    [100, 7],
    [100, 7],
  ]);
  expect(() => kept([low])).toThrow("the caller's group 27 is not in linux.gidMappings");
});

test("a label that the kernel does not take fails create, as runc's does", () => {
  const apparmor = template(({ process }) => Object.assign(process, { apparmorProfile: "some-profile" }));
  const made = plan(apparmor, UNIFIED);
  const all = made.program.operations.map(({ does }) => does.kind);
  expect(all.filter((kind) => kind === "set-exec-label").length).toBe(1);
  expect(all.indexOf("set-exec-label")).toBeLessThan(all.indexOf("await-start"));
});

test("in a user namespace liblxc's parent sets the OOM score: only the host's CAP_SYS_RESOURCE lowers it", () => {
  const change = (all: Json & { linux: Json; process: Json }): void => {
    const map = [{ containerID: 0, hostID: 100000, size: 65536 }];
    const namespaces = [{ type: "mount" }, { type: "user" }, { type: "uts" }, { type: "network" }];
    Object.assign(all.linux, { uidMappings: map, gidMappings: map, namespaces });
    all.process["oomScoreAdj"] = -998;
  };
  const made = plan(template(change), UNIFIED);
  expect(made.lxcConfig).toContainEqual(["lxc.proc.oom_score_adj", "-998"]);
  expect(kinds(made)).not.toContain("set-oom-score");
  const unable = plan(template(change), HYBRID);
  expect(unable.lxcConfig).toContainEqual(["lxc.proc.oom_score_adj", "0"]);
  expect(unable.warnings.join()).toContain("oomScoreAdj: it is 0, not -998");
});

test("seccomp comes before the capabilities go, with no_new_privs last", () => {
  const seccomp = {
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW" }],
  };
  const order = (noNewPrivileges: boolean): string[] =>
    kinds(
      plan(
        template(({ linux, process }) => {
          Object.assign(linux, { seccomp });
          Object.assign(process, { noNewPrivileges });
        }),
      ),
    ).slice(-4);
  expect(order(false)).toEqual(["change-directory", "load-seccomp", "set-identity", "execute"]);
  expect(order(true)).toEqual(["set-identity", "set-no-new-privileges", "load-seccomp", "execute"]);
});

test("what the machine cannot raise is raised as far as it goes, with a warning", () => {
  const document = template(({ process }) => {
    process["rlimits"] = [{ type: "RLIMIT_NOFILE", soft: 30000, hard: 40000 }];
    process["oomScoreAdj"] = -500;
  });
  const got = lines(document);
  expect(got).toContain("set-rlimit RLIMIT_NOFILE 20000 20000");
  expect(got).toContain("set-oom-score value=0");
  const about = /oomScoreAdj|rlimits/;
  expect(plan(document).warnings.filter((warning) => about.test(warning))).toEqual([
    "process.oomScoreAdj: it is 0, not -500: lowering it takes CAP_SYS_RESOURCE",
    "process.rlimits: RLIMIT_NOFILE is 20000, not 40000: raising it takes CAP_SYS_RESOURCE",
  ]);
  const able = lines(document, UNIFIED);
  expect(able).toContain("set-rlimit RLIMIT_NOFILE 30000 40000");
  expect(able).toContain("set-oom-score value=-500");
});

test("unlimited is 2^64 - 1, exactly", () => {
  const text = JSON.stringify(template(({ process }) => Object.assign(process, { rlimits: "HERE" })));
  const limit = '[{"type":"RLIMIT_CORE","soft":18446744073709551615,"hard":18446744073709551615}]';
  const config = parseRuntimeConfig(Buffer.from(text.replace('"HERE"', limit)));
  expect(describePlan(planLaunch(config, UNIFIED, OPTIONS))).toContain(
    "set-rlimit RLIMIT_CORE 18446744073709551615 18446744073709551615",
  );
});

test("capabilities are taken literally; what cannot be had is left out, and nothing takes its place", () => {
  const capabilities = {
    bounding: ["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_FLY"],
    permitted: ["CAP_CHOWN"],
    effective: ["CAP_CHOWN", "CAP_KILL"],
    inheritable: ["CAP_KILL"],
    ambient: ["CAP_CHOWN"],
  };
  const document = template(({ process }) => Object.assign(process, { capabilities }));
  const identity = lines(document).find((line) => line.startsWith("set-identity"));
  expect(identity).toBe(
    "set-identity 0:0 bounding=chown effective=chown permitted=chown inheritable= ambient=",
  );
  expect(plan(document).warnings.length).toBe(5);
  const none = template(({ process }) => Reflect.deleteProperty(process, "capabilities"));
  expect(lines(none)).toContain("set-identity 0:0 bounding= effective= permitted= inheritable= ambient=");
});

test("namespaces: new ones by list, others by path, absent ones are inherited", () => {
  const got = lines(
    template(({ linux }) => {
      linux["namespaces"] = [{ type: "network", path: "/run/netns/a" }, { type: "uts" }, { type: "mount" }];
    }),
  );
  expect(got).toContain("lxc.namespace.clone = uts mnt");
  expect(got).toContain("lxc.namespace.share.net = /run/netns/a");
  expect(got).toContain("network /run/netns/a");
  expect(got.join()).not.toContain("lxc.net.0");
});

test("a container that lists no mount namespace gets one, which a warning says", () => {
  const document = template(({ linux }) => Object.assign(linux, { namespaces: [{ type: "uts" }] }));
  expect(lines(document)).toContain("lxc.namespace.clone = uts mnt");
  expect(plan(document).warnings.join()).toContain("a mount namespace is made");
});

test("descriptors of the caller go to the program in order", () => {
  const made = plan(template(), HYBRID, { preserveDescriptors: 2 });
  expect(made.descriptors.slice(-2)).toEqual([
    { kind: "inherited", number: 3 },
    { kind: "inherited", number: 4 },
  ]);
  const { does } = made.program.operations.at(-1) ?? {};
  const count = made.descriptors.length;
  expect(does).toMatchObject({ kind: "execute", descriptors: [count - 2, count - 1] });
});

/** All places of a document, by path of keys. */
function places(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, inner]) => places(inner, [...path, key]))];
}

function replaceAt(document: unknown, path: readonly string[], value: unknown): void {
  let at = document as Json;
  for (const key of path.slice(0, -1)) at = at[key] as Json;
  const last = path.at(-1);
  if (last === undefined) return;
  if (value === undefined) Reflect.deleteProperty(at, last);
  else at[last] = value;
}

test("any change of any field is a plan or an AtomfsError, the same each time", () => {
  const odd = fc.oneof(
    fc.constantFrom<unknown>(
      undefined,
      null,
      -1,
      0,
      1.5,
      2 ** 40,
      "",
      "a\nb",
      "/..",
      "\0",
      [],
      {},
      true,
      [[]],
      [null],
    ),
    fc.string(),
    fc.jsonValue(),
  );
  const options = [
    "podman-limits",
    "podman-privileged",
    "podman-volumes",
    "podman-user-namespace",
    "podman-read-only",
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...options),
      fc.array(fc.tuple(fc.nat(), odd), { maxLength: 3 }),
      (name, changes) => {
        const document = readFixture(name);
        // Hundreds of system calls' names would drown the rest.
        Object.assign(document["linux"] as Json, {
          seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [] },
        });
        const all = places(document);
        for (const [n, value] of changes) {
          try {
            replaceAt(document, all[n % all.length] ?? [], value);
          } catch (error) {
            // An earlier change took the place away.
            if (!(error instanceof TypeError)) throw error;
          }
        }
        const attempt = (): string => {
          try {
            return describePlan(plan(document, UNIFIED));
          } catch (error) {
            if (error instanceof AtomfsError) return error.message;
            throw error;
          }
        };
        const first = attempt();
        expect(first).toBe(attempt());
        // Nothing in the file can add a line to what liblxc reads.
        expect(first.includes("\0")).toBe(false);
      },
    ),
    { numRuns: 1500, seed: 4 },
  );
});

describe("what a Podman beside runc has shown", () => {
  const joined = (type: string, own: readonly NamespaceType[] = []): string => {
    const document = template(({ linux }) =>
      Object.assign(linux, {
        namespaces: [{ type: "mount" }, { type: "uts" }, { type, path: "/proc/7/ns/x" }],
      }),
    );
    return describePlan(plan(document, HYBRID, { ownNamespaces: new Set(own) }));
  };

  test("liblxc's cgroup namespace, which nobody asked for, is left again", () => {
    const text = joined("ipc");
    expect(text).toContain("lxc.namespace.share.ipc = /proc/7/ns/x");
    expect(text).toContain("namespace /proc/self/ns/cgroup");
    expect(text).toContain("enter-namespace namespace=0 type=33554432\n");
  });

  test("a cgroup namespace by path is joined by the player", () => {
    const text = joined("cgroup");
    expect(text).not.toContain("lxc.namespace.share");
    expect(text).toContain("namespace /proc/7/ns/x");
    expect(text).toContain("enter-namespace");
  });

  test("the runtime's own namespace is not joined", () => {
    const text = joined("ipc", ["ipc"]);
    expect(text).not.toContain("lxc.namespace.share");
    expect(text).not.toContain("enter-namespace");
  });

  const mounted = (type: string, options: readonly string[]): string =>
    describePlan(
      plan(
        template((all) =>
          Object.assign(all, { mounts: [{ destination: "/m", type, source: "/s", options }] }),
        ),
      ),
    );

  test("a mount without propagation of its own below it is the host's slave", () => {
    const slave = "set-propagation path=/m propagation=slave recursive=true";
    expect(mounted("bind", ["rbind", "slave"])).toContain(
      `${slave}\n  set-propagation path=/m propagation=slave recursive=false`,
    );
    expect(mounted("bind", ["rbind", "rprivate"])).not.toContain(slave);
  });

  test("Podman's word about filling a volume is nobody else's", () => {
    expect(mounted("bind", ["rbind", "nocopy"])).toContain("bind-source /s");
  });

  test("a filesystem that names paths of the host is mounted there", () => {
    const text = mounted("overlay", ["lowerdir=/a:/b", "ro"]);
    expect(text).toContain("filesystem overlay from /s lowerdir=/a:/b +readonly");
    expect(text).toContain("attach-mount mount=0 path=/m create=dir");
  });

  test("a tmpfs keeps the mode of what it covers, unless it says one", () => {
    expect(mounted("tmpfs", [])).toContain("keep-mode");
    expect(mounted("tmpfs", ["mode=711"])).not.toContain("keep-mode");
  });

  test("an empty HOME is none", () => {
    const document = template(({ process }) => Object.assign(process, { env: ["HOME="] }));
    expect(describePlan(plan(document))).toContain('with "HOME=/root"');
  });

  test.each([1, 262_145])("cpu shares of %d", (shares) => {
    const document = template(({ linux }) => Object.assign(linux, { resources: { cpu: { shares } } }));
    expect(() => plan(document)).toThrow(/allowed cpu-shares is/);
  });
});
