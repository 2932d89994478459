import { expect, test } from "bun:test";
import { parseProcess, parseResources, parseRuntimeConfig } from "./parse.ts";

const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const parse = (change: object) => parseRuntimeConfig(bytes({ ociVersion: "1.2.0", ...change }));
const inProcess = (change: object) => ({ process: { cwd: "/", args: ["a"], ...change } });

test("a file with nothing in it", () => {
  const config = parse({});
  expect(config.process).toBeUndefined();
  expect(config.root).toBeUndefined();
  expect(config.linux.namespaces).toEqual([]);
  expect(config.linux.resources).toBeUndefined();
});

test.each<[string, object]>([
  ["ociVersion", { ociVersion: "2.0.0" }],
  ["ociVersion", { ociVersion: "1.0" }],
  ["ociVersion", { ociVersion: undefined }],
  ["process.args", inProcess({ args: [] })],
  ["process.args[0]", inProcess({ args: ["a\0b"] })],
  ["process.args[1]", inProcess({ args: ["a", 1] })],
  ["process.cwd", inProcess({ cwd: "tmp" })],
  ["process.cwd", { process: { args: ["a"] } }],
  ["process.user.uid", inProcess({ user: { uid: -1 } })],
  ["process.user.uid", inProcess({ user: { uid: 2 ** 32 - 1 } })],
  ["process.user.umask", inProcess({ user: { umask: 0o1000 } })],
  ["process.user.additionalGids[1]", inProcess({ user: { additionalGids: [1, "2"] } })],
  ["process.oomScoreAdj", inProcess({ oomScoreAdj: 1001 })],
  ["process.oomScoreAdj", inProcess({ oomScoreAdj: 0.5 })],
  ["process.terminal", inProcess({ terminal: "yes" })],
  ["process.consoleSize.height", inProcess({ consoleSize: { height: 65536, width: 1 } })],
  ["process.rlimits[0].type", inProcess({ rlimits: [{ type: "RLIMIT_FOO", soft: 1, hard: 1 }] })],
  ["process.rlimits[0].type", inProcess({ rlimits: [{ type: "toString", soft: 1, hard: 1 }] })],
  ["process.rlimits[0].soft", inProcess({ rlimits: [{ type: "RLIMIT_CPU", soft: 2, hard: 1 }] })],
  [
    "process.rlimits[1].type",
    inProcess({
      rlimits: [
        { type: "RLIMIT_CPU", soft: 1, hard: 1 },
        { type: "RLIMIT_CPU", soft: 1, hard: 1 },
      ],
    }),
  ],
  ["root.path", { root: { path: "" } }],
  ["mounts[0].destination", { mounts: [{ type: "proc" }] }],
  ["mounts[0]", { mounts: [{ destination: "/a", uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] }] }],
  ["mounts", { mounts: {} }],
  ["hooks.poststop[0].path", { hooks: { poststop: [{ path: "x" }] } }],
  ["hooks.poststop[0].timeout", { hooks: { poststop: [{ path: "/x", timeout: 0 }] } }],
  ["annotations", { annotations: { "": "x" } }],
  ["annotations.a", { annotations: { a: 1 } }],
  ["linux.namespaces[1].type", { linux: { namespaces: [{ type: "pid" }, { type: "pid" }] } }],
  ["linux.namespaces[0].type", { linux: { namespaces: [{ type: "net" }] } }],
  ["linux.namespaces[0].path", { linux: { namespaces: [{ type: "pid", path: "ns" }] } }],
  ["linux.uidMappings[0].size", { linux: { uidMappings: [{ containerID: 0, hostID: 0, size: 0 }] } }],
  ["linux.devices[0].path", { linux: { devices: [{ type: "c", path: "dev/x", major: 1, minor: 1 }] } }],
  ["linux.devices[0].type", { linux: { devices: [{ type: "d", path: "/dev/x" }] } }],
  ["linux.devices[0].major", { linux: { devices: [{ type: "b", path: "/dev/x", minor: 1 }] } }],
  ["linux.rootfsPropagation", { linux: { rootfsPropagation: "sharred" } }],
  ["linux.maskedPaths[0]", { linux: { maskedPaths: ["proc"] } }],
  ["linux.personality.domain", { linux: { personality: { domain: "SOLARIS" } } }],
  ["linux.resources.memory.limit", { linux: { resources: { memory: { limit: -2 } } } }],
  ["linux.resources.memory.swappiness", { linux: { resources: { memory: { swappiness: 101 } } } }],
  ["linux.resources.cpu.cpus", { linux: { resources: { cpu: { cpus: "0;1" } } } }],
  ["linux.resources.blockIO.weight", { linux: { resources: { blockIO: { weight: 5 } } } }],
  [
    "linux.resources.hugepageLimits[0].pageSize",
    { linux: { resources: { hugepageLimits: [{ pageSize: "../2MB", limit: 1 }] } } },
  ],
  [
    "linux.resources.devices[0].access",
    { linux: { resources: { devices: [{ allow: true, access: "rwx" }] } } },
  ],
  ["linux.resources.devices[0].type", { linux: { resources: { devices: [{ allow: true, type: "p" }] } } }],
  ["linux.seccomp.defaultAction", { linux: { seccomp: { defaultAction: "ALLOW" } } }],
  [
    "linux.seccomp.defaultErrnoRet",
    { linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", defaultErrnoRet: 1 } } },
  ],
  [
    "linux.seccomp.listenerMetadata",
    { linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "x" } } },
  ],
  [
    "linux.seccomp.architectures[0]",
    { linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", architectures: ["x86"] } } },
  ],
  [
    "linux.seccomp.syscalls[0].names",
    {
      linux: {
        seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [], action: "SCMP_ACT_KILL" }] },
      },
    },
  ],
])("%s is named when it is wrong: %j", (field, change) => {
  expect(() => parse(change)).toThrow(
    expect.objectContaining({ kind: "bad-data", message: expect.stringContaining(`: ${field} `) }),
  );
});

test("unknown properties are ignored, and remembered", () => {
  const config = parse({
    vm: {},
    ...inProcess({ futures: 1, user: { username: "a", shell: "b" } }),
    linux: { x: [] },
  });
  expect(config.unknown).toEqual(["vm", "process.futures", "process.user.shell", "linux.x"]);
});

test("null and empty text stand for nothing, as Go writes them", () => {
  const config = parse({
    hostname: "",
    mounts: null,
    hooks: null,
    linux: { cgroupsPath: "", seccomp: null },
  });
  expect(config).toMatchObject({ hostname: undefined, mounts: [] });
  expect(config.linux).toMatchObject({ cgroupsPath: undefined, seccomp: undefined });
});

test("integers beyond 2^53 stay exact", () => {
  const text =
    '{"cwd":"/","args":["a"],"rlimits":[{"type":"RLIMIT_AS","soft":9007199254740993,"hard":18446744073709551615}]}';
  expect(parseProcess(Buffer.from(text)).rlimits).toEqual([
    { type: "RLIMIT_AS", soft: 9007199254740993n, hard: 18446744073709551615n },
  ]);
  const more = text.replace("18446744073709551615", "18446744073709551616");
  expect(() => parseProcess(Buffer.from(more))).toThrow("process.rlimits[0].hard");
});

test("device rules: absent and -1 are all, letters in the kernel's order", () => {
  const devices = [{ allow: false }, { allow: true, type: "b", major: -1, minor: 3, access: "mr" }];
  expect(parseResources(bytes({ devices })).devices).toEqual([
    { allow: false, type: "all", major: undefined, minor: undefined, access: "rwm" },
    { allow: true, type: "block", major: undefined, minor: 3, access: "rm" },
  ]);
});

test("a device's mode loses the bits of the file's type", () => {
  const devices = [{ type: "c", path: "/dev/x", major: 1, minor: 5, fileMode: 0o20640 }];
  expect(parse({ linux: { devices } }).linux.devices[0]?.mode).toBe(0o640);
});

test.each(["", "[]", "1", "{", '"x"', "null", '{"ociVersion":"1.0.0"', "\xff"])(
  "%j is no configuration",
  (text) => {
    expect(() => parseRuntimeConfig(Buffer.from(text, "latin1"))).toThrow(
      expect.objectContaining({ kind: "bad-data" }),
    );
  },
);
