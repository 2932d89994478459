import { describe, expect, test } from "bun:test";
import type { MountCapabilities } from "../../mounts/spec.ts";
import type { CgroupFacts } from "../../runtime/host-facts.ts";
import { attempt, type Check } from "./check.ts";
import { engineCheck, readContainerdConfig, readCrioConfig, readPodmanInfo } from "./engine-checks.ts";
import { capabilityChecks, cgroupChecks, type LxcFacts, lxcChecks } from "./host-checks.ts";
import { filesystemChecks, idMapChecks, mountChecks, type StorageFacts } from "./kernel-checks.ts";

const statuses = (checks: readonly Check[]): Record<string, string> =>
  Object.fromEntries(checks.map(({ id, status }) => [id, status]));

/** Who is told that something is amiss is told what it means. */
function expectExplained(checks: readonly Check[]): void {
  for (const { id, status, effect } of checks)
    expect([id, effect !== undefined]).toEqual([id, status === "limited" || status === "fails"]);
}

const BEST: MountCapabilities = {
  erofs: "file",
  layers: "fd",
  dataOnly: "plain",
  singleColon: true,
  secondLevel: true,
  verity: "plain",
};

describe("kernel", () => {
  test.each([
    ["6.18", BEST, "works", "works", "works"],
    ["6.5", { ...BEST, erofs: "loop", dataOnly: "metacopy" }, "works", "works", "works"],
    ["6.1", { ...BEST, erofs: "loop", dataOnly: "none", verity: "none" }, "works", "works", "works"],
    [
      "no second level",
      { ...BEST, erofs: "loop", dataOnly: "none", secondLevel: false },
      "works",
      "works",
      "limited",
    ],
    [
      "no EROFS",
      { ...BEST, erofs: "none", dataOnly: "none", singleColon: false, secondLevel: false, verity: "none" },
      "limited",
      "limited",
      "limited",
    ],
  ] as const)("mounts of %s", (_, mounts, erofs, overlay, root) => {
    const checks = mountChecks({ mounts });
    expect(statuses(checks)).toEqual({
      "kernel.erofs": erofs,
      "kernel.overlay-data": overlay,
      "kernel.container-root": root,
    });
    expectExplained(checks);
  });

  test("what could not be tried for lack of another is not said to be missing", () => {
    const checks = mountChecks({ mounts: { ...BEST, erofs: "none", dataOnly: "none", singleColon: false } });
    expect(checks[1]?.finding).toBe("not tried: there is no EROFS");
  });

  test("id maps that the kernel refuses are told with its reason", () => {
    const checks = idMapChecks({ userNamespace: undefined, idMappedMount: "EINVAL" });
    expect(statuses(checks)).toEqual({
      "kernel.user-namespaces": "works",
      "kernel.idmapped-mounts": "limited",
    });
    expect(checks[1]?.finding).toBe("EINVAL");
    expectExplained(checks);
  });
});

describe("filesystem", () => {
  const good: StorageFacts = {
    mounts: BEST,
    reflink: true,
    sameFilesystem: true,
    verity: true,
    freeBytes: 5e9,
  };

  test("all is well", () => {
    const checks = filesystemChecks(good);
    expect(new Set(checks.map(({ status }) => status))).toEqual(new Set(["works"]));
    expect(checks[1]?.finding).toContain("reflink");
    expect(filesystemChecks({ ...good, reflink: false })[1]?.finding).toContain("hard link");
  });

  test("nothing is", () => {
    const mounts = { ...BEST, verity: "none" } as const;
    const checks = filesystemChecks({
      ...good,
      mounts,
      verity: false,
      sameFilesystem: false,
      freeBytes: 1e6,
    });
    expect(new Set(checks.map(({ status }) => status))).toEqual(new Set(["limited"]));
    expect(checks[0]?.advice).toContain("tune2fs");
    expectExplained(checks);
  });

  test("fs-verity that overlay does not check is not advised", () => {
    const check = filesystemChecks({ ...good, mounts: { ...BEST, verity: "none" } })[0];
    expect([check?.status, check?.advice]).toEqual(["limited", undefined]);
  });

  test("no engine, nothing to share", () => {
    expect(filesystemChecks({ ...good, sameFilesystem: undefined })[1]?.status).toBe("absent");
  });
});

describe("rights", () => {
  const ALL = (1n << 41n) - 1n;

  test("all capabilities that the kernel has", () => {
    expect(statuses(capabilityChecks(ALL, 40))).toEqual({ "rights.capabilities": "works" });
    expect(statuses(capabilityChecks((1n << 38n) - 1n, 37))).toEqual({ "rights.capabilities": "works" });
  });

  test("without CAP_SYS_RESOURCE it goes on with less, without CAP_SYS_ADMIN it does not", () => {
    const checks = capabilityChecks(ALL & ~(1n << 24n), 40);
    expect(statuses(checks)).toEqual({
      "rights.cap-sys-resource": "limited",
      "rights.capabilities": "limited",
    });
    expectExplained(checks);
    expect(statuses(capabilityChecks(ALL & ~(1n << 21n), 40))["rights.cap-sys-admin"]).toBe("fails");
  });
});

describe("cgroups", () => {
  const all = ["memory", "cpu", "cpuset", "pids", "blkio", "devices"];
  const v1: CgroupFacts = {
    layout: "v1",
    hierarchies: all.map((name) => ({ mountPoint: `/sys/fs/cgroup/${name}`, controllers: [name] })),
    unified: undefined,
    unifiedControllers: [],
    hugePages: false,
  };
  const v2: CgroupFacts = {
    layout: "v2",
    hierarchies: [],
    unified: "/sys/fs/cgroup",
    unifiedControllers: ["memory", "cpu", "cpuset", "pids", "io"],
    hugePages: false,
  };

  test.each([v1, v2, { ...v1, layout: "hybrid", unified: "/sys/fs/cgroup/unified" } as const])(
    "%j is complete",
    (facts) => {
      const checks = cgroupChecks(facts, undefined);
      expect(new Set(checks.map(({ status }) => status))).toEqual(new Set(["works"]));
      expect(checks[0]?.finding).toBe(`cgroups are ${facts.layout}`);
    },
  );

  test("a missing controller is named with the options that need it", () => {
    const checks = cgroupChecks({ ...v2, unifiedControllers: ["cpu", "cpuset", "pids"] }, undefined);
    expect(checks[1]).toMatchObject({ status: "limited", finding: "missing: memory, blkio" });
    expect(checks[1]?.effect).toContain("--memory");
  });

  test("v1 without devices, none at all, and a refusal fail", () => {
    const withoutDevices = {
      ...v1,
      hierarchies: v1.hierarchies.filter(({ controllers }) => controllers[0] !== "devices"),
    };
    expect(statuses(cgroupChecks(withoutDevices, undefined))["cgroups.devices"]).toBe("fails");
    const none = { ...v2, unified: undefined, unifiedControllers: [] };
    expect(statuses(cgroupChecks(none, undefined))["cgroups.layout"]).toBe("fails");
    const checks = cgroupChecks(v2, "EROFS: read-only");
    expect(checks.at(-1)).toMatchObject({
      id: "cgroups.write",
      status: "fails",
      finding: "EROFS: read-only",
    });
    expectExplained(checks);
  });
});

describe("lxc", () => {
  const good: LxcFacts = {
    version: "5.0.2",
    path: "/usr/bin/lxc-start",
    player: undefined,
    seccompActions: ["kill", "errno"],
  };

  test("is there, with the player and seccomp", () => {
    expect(new Set(lxcChecks(good).map(({ status }) => status))).toEqual(new Set(["works"]));
  });

  test("is not there", () => {
    const checks = lxcChecks({ ...good, version: undefined, player: "not in /usr", seccompActions: [] });
    expect(statuses(checks)).toEqual({
      "lxc.lxc-start": "fails",
      "lxc.player": "fails",
      "kernel.seccomp": "limited",
    });
    expectExplained(checks);
  });
});

describe("engines", () => {
  const podman = JSON.stringify({
    host: { ociRuntime: { name: "runc" } },
    store: { graphDriverName: "overlay" },
    version: { Version: "4.3.1" },
  });

  test("Podman that does not know crio-lxc is told how it would", () => {
    const check = engineCheck("podman", readPodmanInfo(podman, false));
    expect(check).toMatchObject({ status: "limited", advice: "atomfs install --podman" });
    expect(check.finding).toBe("Podman 4.3.1, storage overlay, runtime runc; crio-lxc is not known");
  });

  test("one that knows it works", () => {
    expect(engineCheck("podman", readPodmanInfo(podman, true)).status).toBe("works");
    const chosen = podman.replace('"runc"', '"crio-lxc"');
    expect(engineCheck("podman", readPodmanInfo(chosen, true)).finding).toEndWith("runtime crio-lxc");
  });

  test("another storage driver limits", () => {
    const check = engineCheck("podman", readPodmanInfo(podman.replace("overlay", "vfs"), true));
    expect([check.status, check.advice]).toEqual(["limited", 'storage.conf: driver = "overlay"']);
  });

  test("CRI-O's own defaults are comments, what is set is not", () => {
    const config =
      '[crio]\n# storage_driver = ""\n[crio.runtime]\n# default_runtime = "crun"\n[crio.runtime.runtimes.crun]\n';
    expect(readCrioConfig(config, "crio version 1.36.1")).toEqual({
      name: "crio",
      version: "crio version 1.36.1",
      storage: "overlay",
      defaultRuntime: "crun",
      runtimes: ["crun"],
    });
    const installed = config
      .replace('# default_runtime = "crun"', 'default_runtime = "crio-lxc"')
      .concat('[crio.runtime.runtimes.crio-lxc]\nruntime_path = "/usr/local/bin/crio-lxc"\n');
    expect(engineCheck("crio", readCrioConfig(installed, "1")).status).toBe("works");
    expect(engineCheck("crio", readCrioConfig(config, "1")).advice).toBe("atomfs install --crio");
  });

  test.each([
    [
      '[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "overlayfs"\ndefault_runtime_name = "runc"\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n',
    ],
    [
      "[plugins.'io.containerd.cri.v1.images']\nsnapshotter = 'overlayfs'\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'runc'\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n",
    ],
  ])("containerd's configuration of both versions: %j", (config) => {
    const facts = readContainerdConfig(config, "containerd 2.3.1");
    expect(facts).toMatchObject({ storage: "overlayfs", defaultRuntime: "runc", runtimes: ["runc"] });
    expect(engineCheck("containerd", facts).status).toBe("limited");
  });

  test("one that isn't installed is no trouble, one that fails is", () => {
    expect(engineCheck("crio", "absent").status).toBe("absent");
    expect(engineCheck("crio", { problem: "no answer" })).toMatchObject({
      status: "fails",
      finding: "no answer",
    });
  });

  test.each(["", "{", "[]", '{"host":7}'])("an answer that is %j breaks nothing else", (text) => {
    let facts: ReturnType<typeof readPodmanInfo> | undefined;
    try {
      facts = readPodmanInfo(text, false);
    } catch (error) {
      expect(error).toBeInstanceOf(SyntaxError);
    }
    if (facts !== undefined) expect(engineCheck("podman", facts).status).toBe("limited");
  });
});

test("a probe that throws is a failed check", async () => {
  const checks = await attempt("cgroups.layout", "nothing starts", () => {
    throw new Error("EPERM");
  });
  expect(checks).toEqual([
    { id: "cgroups.layout", status: "fails", finding: "EPERM", effect: "nothing starts" },
  ]);
});
