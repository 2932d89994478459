import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseResources } from "../formats/oci/runtime-config/parse.ts";
import type { ResourcesConfig } from "../formats/oci/runtime-config/types.ts";
import { planCgroups, planUpdate } from "./cgroup-plan.ts";
import type { CurrentValues } from "./cgroup-target.ts";
import { cpuWeight } from "./cgroup-v2.ts";
import { deviceState } from "./device-rules.ts";
import type { CgroupFacts } from "./host-facts.ts";

const V1_NAMES = [
  "cpu",
  "cpuset",
  "memory",
  "devices",
  "blkio",
  "pids",
  "hugetlb",
  "net_cls",
  "net_prio",
  "rdma",
];
const V1: CgroupFacts = {
  layout: "v1",
  hierarchies: V1_NAMES.map((name) => ({ mountPoint: `/sys/fs/cgroup/${name}`, controllers: [name] })),
  unified: undefined,
  unifiedControllers: [],
  hugePages: true,
};
const V2: CgroupFacts = {
  layout: "v2",
  hierarchies: [],
  unified: "/sys/fs/cgroup",
  unifiedControllers: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"],
  hugePages: true,
};

function resources(value: object): ResourcesConfig {
  return parseResources(Buffer.from(JSON.stringify(value)));
}

/** "memory.max=1" for each write, without device rules. */
function writes(facts: CgroupFacts, value: object): string[] {
  return planCgroups(resources(value), "/p", facts, "id", undefined)
    .writes.filter(({ file }) => !file.includes("/devices."))
    .map((write) => `${write.file.slice(write.file.lastIndexOf("/p/") + 3)}=${write.value}`);
}

function update(facts: CgroupFacts, value: object, current: CurrentValues): string[] {
  return planUpdate(resources(value), "/p", facts, current).writes.map(
    (write) => `${write.file.slice(write.file.lastIndexOf("/") + 1)}=${write.value}`,
  );
}

test.each<[object, string[], string[]]>([
  [{ memory: { limit: 100 } }, ["memory.limit_in_bytes=100"], ["memory.max=100"]],
  [
    { memory: { limit: 100, swap: 150 } },
    ["memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=150"],
    ["memory.swap.max=50", "memory.max=100"],
  ],
  [
    { memory: { limit: 100, swap: 100 } },
    ["memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=100"],
    ["memory.swap.max=0", "memory.max=100"],
  ],
  [
    { memory: { limit: -1 } },
    ["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1"],
    ["memory.swap.max=max", "memory.max=max"],
  ],
  [
    { memory: { limit: 100, swap: -1 } },
    ["memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=-1"],
    ["memory.swap.max=max", "memory.max=100"],
  ],
  [{ memory: { reservation: 7 } }, ["memory.soft_limit_in_bytes=7"], ["memory.low=7"]],
  [{ memory: { swappiness: 0 } }, ["memory.swappiness=0"], []],
  [{ memory: { disableOOMKiller: true } }, ["memory.oom_control=1"], []],
  [{ cpu: { shares: 1024 } }, ["cpu.shares=1024"], ["cpu.weight=100"]],
  [
    { cpu: { quota: 5000, period: 10000 } },
    ["cpu.cfs_period_us=10000", "cpu.cfs_quota_us=5000"],
    ["cpu.max=5000 10000"],
  ],
  [{ cpu: { quota: -1 } }, ["cpu.cfs_quota_us=-1"], ["cpu.max=max 100000"]],
  [{ cpu: { period: 10000 } }, ["cpu.cfs_period_us=10000"], ["cpu.max=max 10000"]],
  [{ cpu: { burst: 5 } }, ["cpu.cfs_burst_us=5"], ["cpu.max.burst=5"]],
  [{ cpu: { idle: 1, shares: 2048 } }, ["cpu.shares=2048", "cpu.idle=1"], ["cpu.idle=1"]],
  [
    { cpu: { cpus: "0-1", mems: "0" } },
    ["cpuset.cpus=0-1", "cpuset.mems=0"],
    ["cpuset.cpus=0-1", "cpuset.mems=0"],
  ],
  [{ pids: { limit: 9 } }, ["pids.max=9"], ["pids.max=9"]],
  [{ pids: { limit: -1 } }, ["pids.max=max"], ["pids.max=max"]],
  [{ pids: { limit: 0 } }, ["pids.max=max"], ["pids.max=max"]],
  [{ blockIO: { weight: 10 } }, ["blkio.bfq.weight=10"], ["io.bfq.weight=10", "io.weight=1"]],
  [{ blockIO: { weight: 1000 } }, ["blkio.bfq.weight=1000"], ["io.bfq.weight=1000", "io.weight=10000"]],
  [
    {
      blockIO: {
        throttleReadBpsDevice: [{ major: 8, minor: 1, rate: 5 }],
        throttleWriteIOPSDevice: [{ major: 8, minor: 1, rate: 6 }],
      },
    },
    ["blkio.throttle.read_bps_device=8:1 5", "blkio.throttle.write_iops_device=8:1 6"],
    ["io.max=8:1 rbps=5", "io.max=8:1 wiops=6"],
  ],
  [
    { hugepageLimits: [{ pageSize: "2MB", limit: 4 }] },
    ["hugetlb.2MB.limit_in_bytes=4", "hugetlb.2MB.rsvd.limit_in_bytes=4"],
    ["hugetlb.2MB.max=4", "hugetlb.2MB.rsvd.max=4"],
  ],
  [
    { rdma: { mlx4_0: { hcaHandles: 2 } } },
    ["rdma.max=mlx4_0 hca_handle=2"],
    ["rdma.max=mlx4_0 hca_handle=2"],
  ],
])("%j in v1 and in v2", (value, v1, v2) => {
  expect(writes(V1, value)).toEqual(v1);
  expect(writes(V2, value)).toEqual(v2);
});

test.each([
  [2n, 1],
  [1024n, 100],
  [262144n, 10000],
  [1n, 1],
  [2n ** 60n, 10000],
  [512n, 59],
  [10240n, 639],
])("%p shares are the weight %p", (shares, weight) => {
  expect(cpuWeight(shares)).toBe(weight);
});

test.each<[string, CgroupFacts, object]>([
  [
    "no cgroup controller",
    V1,
    {
      unified: {},
      hugepageLimits: [],
      blockIO: undefined,
      rdma: {},
      network: undefined,
      pids: { limit: 1 },
      memory: { limit: 1 },
    },
  ],
  ["unified", V1, { unified: { "memory.high": "1" } }],
  ["network.classID", V2, { network: { classID: 5 } }],
  ["cpu.realtimeRuntime", V2, { cpu: { realtimeRuntime: 5 } }],
  ["no cgroup controller", V2, { unified: { "nonesuch.max": "1" } }],
  ["linux.resources.unified", V2, { unified: { "memory/../x.y": "1" } }],
  ["linux.resources.unified", V2, { unified: { "cgroup.procs": "1" } }],
  ["memory.swap", V2, { memory: { limit: 100, swap: 50 } }],
  ["memory.swap", V2, { memory: { swap: 50 } }],
])("%s is refused", (message, facts, value) => {
  const without = message === "no cgroup controller" && facts === V1 ? { ...facts, hierarchies: [] } : facts;
  expect(() => planCgroups(resources(value), "/p", without, "id", undefined)).toThrow(message);
});

test("limits of huge pages that no controller can set hold where there are none, else they are refused", () => {
  const hierarchies = V1.hierarchies.filter(({ controllers }) => !controllers.includes("hugetlb"));
  const limits = resources({ hugepageLimits: [{ pageSize: "2MB", limit: 0 }] });
  const facts = { ...V1, hierarchies };
  expect(() => planCgroups(limits, "/p", facts, "id", undefined)).toThrow('no cgroup controller "hugetlb"');
  const plan = planCgroups(limits, "/p", { ...facts, hugePages: false }, "id", undefined);
  expect(plan.writes.filter(({ file }) => file.includes("hugetlb"))).toEqual([]);
  expect(plan.warnings).toEqual([]);
});

test("v2: the container has every controller of the machine, those of its limits without fail", () => {
  const limited = planCgroups(resources({ pids: { limit: 5 } }), "/p", V2, "id", undefined);
  expect(limited.controllers).toEqual(["pids"]);
  expect(limited.otherControllers).toEqual(V2.unifiedControllers.filter((name) => name !== "pids"));
  expect(planCgroups(undefined, "/p", V2, "id", undefined).otherControllers).toEqual(V2.unifiedControllers);
  expect(planCgroups(undefined, "/p", V1, "id", undefined).otherControllers).toEqual([]);
});

test("the scope bounds swap as v2 has it, without memory", () => {
  const shown = (memory: object): unknown =>
    planCgroups(resources({ memory }), "a.slice:b:c", V2, "id", new Map()).systemd?.scope.properties.find(
      ({ name }) => name === "MemorySwapMax",
    )?.values;
  expect(shown({ limit: 100, swap: 150 })).toEqual(["50"]);
  expect(shown({ limit: 100, swap: -1 })).toEqual([String(2n ** 64n - 1n)]);
  expect(shown({ limit: 100 })).toBeUndefined();
});

test("unified files are written as they are, after what was converted", () => {
  expect(writes(V2, { memory: { limit: 5 }, unified: { "memory.max": "7", "memory.high": "6" } })).toEqual([
    "memory.max=5",
    "memory.max=7",
    "memory.high=6",
  ]);
});

test.each([
  ["/a/b", "/a/b"],
  ["/a//./b/", "/a/b"],
  ["a/b", "/crio-lxc/a/b"],
  [undefined, "/crio-lxc/id"],
])("cgroupsPath %p is %p", (given, want) => {
  const plan = planCgroups(undefined, given, V2, "id", undefined);
  expect(plan.path).toBe(want);
  expect(plan.directories).toEqual([`/sys/fs/cgroup${want}`]);
});

test.each(["/", "/a/../..", "..", "/a\nb", "/a "])("cgroupsPath %j is refused", (path) => {
  expect(() => planCgroups(undefined, path, V2, "id", undefined)).toThrow("linux.cgroupsPath");
});

test("the systemd driver is refused by name", () => {
  const { path, systemd, directories } = planCgroups(undefined, "system.slice:a:b", V2, "id", new Map());
  expect(path).toBe("/system.slice/a-b.scope/container");
  expect(directories).toEqual(["/sys/fs/cgroup/system.slice/a-b.scope/container"]);
  expect(systemd?.scope.unit).toBe("a-b.scope");
  expect(() => planCgroups(undefined, "/a/b", V2, "id", new Map())).toThrow("--systemd-cgroup");
});

const DEFAULTS = [
  "c *:* m",
  "b *:* m",
  "c 1:3 rwm",
  "c 1:5 rwm",
  "c 1:7 rwm",
  "c 1:8 rwm",
  "c 1:9 rwm",
  "c 5:0 rwm",
  "c 5:2 rwm",
  "c 10:200 rwm",
  "c 136:* rwm",
];

function state(...rules: object[]): string[] {
  const { allowed, exceptions } = deviceState(resources({ devices: rules }).devices ?? []);
  return [allowed ? "all" : "none", ...[...exceptions].map(([device, access]) => `${device} ${access}`)];
}

test("device rules in their order, then what every container may use", () => {
  const denyAll = { allow: false, access: "rwm" };
  const fuse = { type: "c", major: 10, minor: 229 };
  expect(state(denyAll)).toEqual(["none", ...DEFAULTS]);
  expect(state()).toEqual(["none", ...DEFAULTS]);
  expect(state({ allow: true, ...fuse, access: "rwm" }, denyAll)).toEqual(["none", ...DEFAULTS]);
  expect(state(denyAll, { allow: true, ...fuse, access: "mw" })).toEqual([
    "none",
    "c 10:229 wm",
    ...DEFAULTS,
  ]);
  expect(
    state(denyAll, { allow: true, ...fuse, access: "rwm" }, { allow: false, ...fuse, access: "w" }),
  ).toEqual(["none", "c 10:229 rm", ...DEFAULTS]);
  expect(state({ allow: true, access: "rwm" })).toEqual(["all"]);
  expect(state({ allow: true, access: "rwm" }, { allow: false, ...fuse, access: "rwm" })).toEqual([
    "all",
    "c 10:229 rw",
  ]);
});

test.each<[string, object, object]>([
  ["a device out of a wildcard", { type: "c", major: 10 }, { type: "c", major: 10, minor: 229 }],
  ["8:1 as a part of *:1 out of 8:*", { type: "b", major: 8 }, { type: "b", minor: 1 }],
  ["*:1 as a part of 8:* out of *:1", { type: "b", minor: 1 }, { type: "b", major: 8 }],
])("a rule that takes a part out of another is refused, no kernel does it: %s", (_what, whole, part) => {
  for (const allow of [true, false]) {
    const first = { allow: !allow, access: "rwm" };
    expect(() =>
      state(first, { allow, ...whole, access: "rw" }, { allow: !allow, ...part, access: "w" }),
    ).toThrow(/devices\[2\] takes .* out of the rule for/);
  }
  // Nothing is taken out.
  state({ allow: true, ...whole, access: "r" }, { allow: false, ...part, access: "w" });
});

test("also if the very device is in the list, too", () => {
  const one = { type: "b", major: 8, minor: 1 };
  expect(() =>
    state(
      { allow: true, type: "b", major: 8, access: "rwm" },
      { allow: true, ...one, access: "rw" },
      { allow: false, ...one, access: "rw" },
    ),
  ).toThrow("out of the rule for b 8:*");
});

test("rules are refused, or mean what they mean one after the other", () => {
  const number = fc.constantFrom(undefined, 8, 9);
  const rule = fc.record({
    allow: fc.boolean(),
    type: fc.constantFrom("a", "b", "c"),
    major: number,
    minor: number,
    access: fc.constantFrom("r", "w", "rw", "rwm"),
  });
  const speaksOf = (part: number | string | undefined, value: number): boolean =>
    part === undefined || part === "*" || Number(part) === value;
  let kept = 0;
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 5 }), (rules) => {
      let made: ReturnType<typeof deviceState>;
      try {
        made = deviceState(resources({ devices: rules }).devices ?? []);
      } catch (error) {
        expect(String(error)).toContain("out of the rule for");
        return;
      }
      kept++;
      for (const type of ["b", "c"])
        for (const major of [7, 8, 9])
          for (const minor of [7, 8, 9])
            for (const letter of ["r", "w"]) {
              const last = rules.findLast(
                (one) =>
                  (one.type === "a" || one.type === type) &&
                  speaksOf(one.major, major) &&
                  speaksOf(one.minor, minor) &&
                  one.access.includes(letter),
              );
              const isException = [...made.exceptions].some(([device, access]) => {
                const [kind, first, second] = device.split(/[ :]/);
                return (
                  kind === type &&
                  speaksOf(first, major) &&
                  speaksOf(second, minor) &&
                  access.includes(letter)
                );
              });
              expect(made.allowed !== isException).toBe(last?.allow ?? false);
            }
    }),
    { numRuns: 2000, seed: 4 },
  );
  expect(kept).toBeGreaterThan(500);
});

test("device rules are files in v1 and LXC's lines in v2", () => {
  const value = resources({ devices: [{ allow: false, access: "rwm" }] });
  const v1 = planCgroups(value, "/p", V1, "id", undefined);
  expect(v1.writes.slice(0, 2)).toEqual([
    { file: "/sys/fs/cgroup/devices/p/devices.deny", value: "a", onError: "fail" },
    { file: "/sys/fs/cgroup/devices/p/devices.allow", value: "c *:* m", onError: "fail" },
  ]);
  expect(v1.lxcConfig.join()).not.toContain("devices");
  const v2 = planCgroups(value, "/p", V2, "id", undefined);
  expect(v2.writes).toEqual([]);
  const lines = v2.lxcConfig.filter(([key]) => key.includes("devices"));
  expect(lines.slice(0, 2)).toEqual([
    ["lxc.cgroup2.devices.deny", "a"],
    ["lxc.cgroup2.devices.allow", "c *:* m"],
  ]);
});

test("an update of v1 memory goes up with swap first, and down with memory first", () => {
  const to = { memory: { limit: 100, swap: 200 } };
  expect(update(V1, to, { memoryLimit: 50n, memorySwap: 60n })).toEqual([
    "memory.memsw.limit_in_bytes=200",
    "memory.limit_in_bytes=100",
  ]);
  expect(update(V1, to, { memoryLimit: 500n, memorySwap: 600n })).toEqual([
    "memory.limit_in_bytes=100",
    "memory.memsw.limit_in_bytes=200",
  ]);
});

test("an update keeps what it does not name", () => {
  expect(update(V2, { cpu: { period: 50000 } }, { cpuMax: ["7000", "100000"] })).toEqual([
    "cpu.max=7000 50000",
  ]);
  expect(update(V2, { memory: { swap: 300 } }, { memoryLimit: 100n })).toEqual(["memory.swap.max=200"]);
  expect(update(V1, { pids: { limit: 3 } }, {})).toEqual(["pids.max=3"]);
});

test("checkBeforeUpdate refuses a limit below what is in use", () => {
  const to = { memory: { limit: 100, checkBeforeUpdate: true } };
  expect(() => update(V2, to, { memoryUsage: 101n })).toThrow("resources.memory.limit");
  expect(update(V2, to, { memoryUsage: 100n })).toEqual(["memory.max=100"]);
});

test.each([V1, V2])("kernel memory, which no kernel limits any more, is left out with a warning", (facts) => {
  for (const memory of [{ kernel: 100 }, { kernelTCP: -1 }]) {
    const { writes: none, warnings } = planUpdate(resources({ memory }), "/p", facts, {});
    expect({ none, warnings }).toEqual({
      none: [],
      warnings: [expect.stringMatching(/kernelTCP are ignored/)],
    });
    expect(planCgroups(resources({ memory }), "/p", facts, "id", undefined).warnings).toEqual(warnings);
  }
  expect(planUpdate(resources({ memory: { limit: 100 } }), "/p", facts, {}).warnings).toEqual([]);
});
