import { describe, expect, test } from "bun:test";
import { parseResources } from "../formats/oci/runtime-config/parse.ts";
import { resetFailedCall, setPropertiesCall, startScopeCall, stopUnitCall } from "./systemd-calls.ts";
import { limitProperties, planScope, slicePath } from "./systemd-plan.ts";
import { parseProperty } from "./systemd-property.ts";

const NONE = new Map<string, string>();

describe("names", () => {
  test("slice, prefix and name, as CRI-O and Podman give them", () => {
    const pod = "kubepods-besteffort-pod1.slice:crio:abc";
    expect(planScope(pod, "id", undefined, NONE, true)).toMatchObject({
      unit: "crio-abc.scope",
      slice: "kubepods-besteffort-pod1.slice",
      path: "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/crio-abc.scope",
    });
    expect(planScope("machine.slice:libpod:abc", "id", undefined, NONE, true).path).toBe(
      "/machine.slice/libpod-abc.scope",
    );
  });

  test("what is left out has a default", () => {
    expect(planScope(undefined, "id", undefined, NONE, true).path).toBe("/system.slice/crio-lxc-id.scope");
    expect(planScope("::abc", "id", undefined, NONE, true).path).toBe("/system.slice/abc.scope");
    expect(slicePath("-.slice")).toBe("");
  });

  test.each([
    "/a/b",
    "a.slice:b",
    "a.slice:b:c:d",
    "a.slice:b:",
    "a.slice:b:c/d",
    "a.slice:b:c d",
    "a.slice:b:x.slice",
  ])("%p is refused", (path) =>
    expect(() => planScope(path, "id", undefined, NONE, true)).toThrow(/cgroupsPath/),
  );

  test.each(["a", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice", ".slice", "../a.slice"])(
    "slice %p is refused",
    (slice) => expect(() => slicePath(slice)).toThrow(/slice/),
  );
});

describe("limits", () => {
  const resources = parseResources(
    Buffer.from(
      JSON.stringify({
        memory: { limit: 1000, reservation: 500 },
        cpu: { shares: 1024, quota: 50_000, period: 100_000 },
        pids: { limit: 7 },
      }),
    ),
  );
  const shown = (isV2: boolean) =>
    limitProperties(resources, isV2).map(({ name, values }) => `${name}=${values.join()}`);

  test("of v2 and of v1", () => {
    const both = ["CPUQuotaPerSecUSec=500000", "CPUQuotaPeriodUSec=100000", "TasksMax=7"];
    expect(shown(true)).toEqual(["MemoryMax=1000", "MemoryLow=500", "CPUWeight=100", ...both]);
    expect(shown(false)).toEqual(["MemoryLimit=1000", "CPUShares=1024", ...both]);
  });

  test("none is infinity, and what is not named is left alone", () => {
    const none = parseResources(
      Buffer.from('{"memory":{"limit":-1},"cpu":{"quota":-1},"pids":{"limit":-1}}'),
    );
    const infinity = String((1n << 64n) - 1n);
    expect(limitProperties(none, true).map(({ name, values }) => [name, ...values])).toEqual([
      ["MemoryMax", infinity],
      ["CPUQuotaPerSecUSec", infinity],
      ["TasksMax", infinity],
    ]);
    expect(limitProperties(undefined, true)).toEqual([]);
  });

  test("a quota that is no multiple of 10 ms a second is rounded up, as systemd wants it", () => {
    const odd = parseResources(Buffer.from('{"cpu":{"quota":33333}}'));
    expect(limitProperties(odd, true)[0]?.values).toEqual(["340000"]);
  });
});

describe("an update of a part of the CPU's limit", () => {
  const shown = (cpu: object, cpuMax?: readonly [string, string]) =>
    limitProperties(
      parseResources(Buffer.from(JSON.stringify({ cpu }))),
      true,
      cpuMax === undefined ? {} : { cpuMax },
    ).map(({ name, values }) => `${name}=${values.join()}`);
  const unlimited = `CPUQuotaPerSecUSec=${(1n << 64n) - 1n}`;

  test("takes the other part as it is", () => {
    expect(shown({ quota: 50_000 }, ["20000", "200000"])).toEqual(["CPUQuotaPerSecUSec=250000"]);
    expect(shown({ quota: -1 }, ["20000", "200000"])).toEqual([unlimited]);
    expect(shown({ period: 200_000 }, ["50000", "100000"])).toEqual([
      "CPUQuotaPerSecUSec=250000",
      "CPUQuotaPeriodUSec=200000",
    ]);
    expect(shown({ period: 200_000 }, ["max", "100000"])).toEqual([unlimited, "CPUQuotaPeriodUSec=200000"]);
  });

  test("needs nothing if both are named, and takes the kernel's own if nothing is known", () => {
    const both = { quota: 50_000, period: 50_000 };
    expect(shown(both, ["1", "2"])).toEqual(["CPUQuotaPerSecUSec=1000000", "CPUQuotaPeriodUSec=50000"]);
    expect(shown({ quota: 50_000 })).toEqual(["CPUQuotaPerSecUSec=500000"]);
    expect(shown({ period: 200_000 })).toEqual([unlimited, "CPUQuotaPeriodUSec=200000"]);
  });
});

describe("annotations", () => {
  test.each([
    ["Restart", "'no'", { name: "Restart", signature: "s", values: ["no"] }],
    [
      "CollectMode",
      '"inactive-or-failed"',
      { name: "CollectMode", signature: "s", values: ["inactive-or-failed"] },
    ],
    ["SendSIGHUP", "true", { name: "SendSIGHUP", signature: "b", values: ["true"] }],
    ["CPUWeight", "uint64 5", { name: "CPUWeight", signature: "t", values: ["5"] }],
    ["OOMScoreAdjust", "-5", { name: "OOMScoreAdjust", signature: "i", values: ["-5"] }],
    ["TimeoutStopUSec", "uint64 15000000", { name: "TimeoutStopUSec", signature: "t", values: ["15000000"] }],
    ["TimeoutStopSec", "15", { name: "TimeoutStopUSec", signature: "t", values: ["15000000"] }],
    [
      "After",
      "['a.service', 'b.service']",
      { name: "After", signature: "as", values: ["2", "a.service", "b.service"] },
    ],
  ] as const)("%s = %s", (name, text, property) => {
    expect(parseProperty(name, text)).toEqual({ ...property, values: [...property.values] });
  });

  test.each([
    ["x", "true"],
    ["Bad Name", "true"],
    ["--version", "true"],
    ["Name", "naked"],
    ["Name", "['a', b]"],
    ["Name", "uint64 -1"],
    ["Name", "{'a': 1}"],
    ["StopSec", "-1"],
  ])("%s = %s is refused", (name, text) => {
    expect(() => parseProperty(name, text)).toThrow(/org\.systemd\.property/);
  });

  test("come after ours", () => {
    const scope = planScope(
      "a.slice:p:n",
      "id",
      undefined,
      new Map([["org.systemd.property.CollectMode", "'inactive'"]]),
      true,
    );
    expect(scope.properties.at(-1)?.name).toBe("CollectMode");
  });
});

test("calls are whole words for busctl", () => {
  const scope = {
    unit: "p-n.scope",
    slice: "a.slice",
    path: "/a.slice/p-n.scope",
    properties: [parseProperty("SendSIGHUP", "true")],
  };
  expect(startScopeCall(scope, 77).slice(8)).toEqual([
    ...["StartTransientUnit", "ssa(sv)a(sa(sv))", "p-n.scope", "fail"],
    ...["2", "SendSIGHUP", "b", "true", "PIDs", "au", "1", "77", "0"],
  ]);
  expect(setPropertiesCall("p-n.scope", scope.properties).slice(8)).toEqual([
    ...["SetUnitProperties", "sba(sv)", "p-n.scope", "true", "1", "SendSIGHUP", "b", "true"],
  ]);
  expect(stopUnitCall("u").slice(8)).toEqual(["StopUnit", "ss", "u", "replace"]);
  expect(resetFailedCall("u").slice(8)).toEqual(["ResetFailedUnit", "s", "u"]);
});
