import { describe, expect, test } from "bun:test";
import { parseRuntimeConfig } from "../formats/oci/runtime-config/parse.ts";
import { HOOK_POINTS, NAMESPACE_TYPES, SECCOMP_ACTIONS } from "../formats/oci/runtime-config/types.ts";
import { planCgroups } from "./cgroup-plan.ts";
import { describeFeatures } from "./features.ts";
import type { HostFacts } from "./host-facts.ts";
import type { LaunchPlan } from "./plan.ts";
import { planLaunch } from "./planner.ts";
import { OLDEST_SPEC_VERSION, SPEC_VERSION } from "./version.ts";

const HOST: HostFacts = {
  cgroups: {
    layout: "v2",
    hierarchies: [],
    unified: "/sys/fs/cgroup",
    unifiedControllers: ["rdma"],
    hugePages: false,
  },
  capabilities: { bounding: (1n << 41n) - 1n, effective: (1n << 41n) - 1n },
  groups: [],
  lastCapability: 40,
  hardLimits: new Map(),
  lowestOomScore: -1000,
  apparmor: true,
  selinux: false,
  seccompActions: ["kill_process", "kill_thread", "trap", "errno", "trace", "log", "allow", "user_notif"],
  lxcVersion: { major: 5, minor: 0 },
};

type Listed = {
  readonly potentiallyUnsafeConfigAnnotations: readonly string[];
  readonly hooks: readonly string[];
  readonly mountOptions: readonly string[];
  readonly linux: {
    readonly namespaces: readonly string[];
    readonly capabilities: readonly string[];
    readonly cgroup: Readonly<Record<string, boolean>>;
    readonly seccomp: Readonly<
      Record<"actions" | "operators" | "archs" | "knownFlags" | "supportedFlags", string[]>
    >;
  };
};

function listed(host = HOST): Listed {
  return JSON.parse(JSON.stringify(describeFeatures(host)));
}

/** A container with something more in its config.json. */
function plan({ linux = {}, process = {}, ...more }: Readonly<Record<string, object | string>>): LaunchPlan {
  const types = ["pid", "mount", "uts"].map((type) => ({ type }));
  const config = {
    ociVersion: "1.0.2",
    process: { args: ["true"], cwd: "/", user: { uid: 0, gid: 0 }, ...Object(process) },
    root: { path: "rootfs" },
    ...more,
    linux: { namespaces: types, ...Object(linux) },
  };
  return planLaunch(parseRuntimeConfig(Buffer.from(JSON.stringify(config))), HOST, {
    id: "box",
    bundle: "/bundle",
    rootfs: "/root",
    consoleSocket: false,
    preserveDescriptors: 0,
    systemdCgroup: false,
    noNewKeyring: false,
    noPivot: false,
    ownNamespaces: new Set(),
    hostNamespaces: new Set(),
    home: "/",
    compileSeccomp: () => new Uint8Array(),
  });
}

function mount(option: string): LaunchPlan {
  const type = option === "remount" || option.endsWith("bind") ? "bind" : "tmpfs";
  return plan({ mounts: [{ destination: "/mnt", type, source: "/src", options: [option] }] });
}

function seccomp(profile: object): LaunchPlan {
  const rule = { names: ["getpid"], action: "SCMP_ACT_ERRNO" };
  return plan({ linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule], ...profile } } });
}

describe("what is listed is taken", () => {
  const { hooks, mountOptions, linux } = listed();

  test("versions", () => {
    for (const ociVersion of [OLDEST_SPEC_VERSION, SPEC_VERSION])
      expect(plan({ ociVersion }).warnings).toEqual([]);
  });

  test("hooks", () => {
    expect(hooks).not.toEqual([]);
    for (const point of hooks) plan({ hooks: { [point]: [{ path: "/bin/true" }] } });
  });

  test("mount options, each of which does not go to the filesystem as an unknown one", () => {
    expect(new Set(mountOptions).size).toBe(mountOptions.length);
    const known = new Set(["sync", "dirsync", "lazytime", "mand"]);
    for (const option of mountOptions.filter((each) => !/^r?idmap$/.test(each))) {
      for (const { does } of mount(option).program.operations) {
        if (does.kind !== "mount-filesystem") continue;
        for (const [key] of does.options) if (String(key) === option) expect(known).toContain(option);
      }
    }
  });

  test("namespaces", () => {
    for (const type of linux.namespaces) {
      const maps = type === "user" ? [{ containerID: 0, hostID: 1000, size: 10 }] : [];
      const namespaces = [...new Set(["mount", type])].map((each) => ({ type: each }));
      plan({ linux: { namespaces, uidMappings: maps, gidMappings: maps } });
    }
  });

  test("capabilities", () => {
    const names = linux.capabilities;
    const capabilities = {
      bounding: names,
      effective: names,
      permitted: names,
      inheritable: names,
      ambient: names,
    };
    expect(plan({ process: { capabilities } }).warnings).toEqual([]);
  });

  test("seccomp", () => {
    for (const action of linux.seccomp.actions) seccomp({ defaultAction: action });
    for (const op of linux.seccomp.operators) {
      const args = [{ index: 0, value: 1, op }];
      seccomp({ syscalls: [{ names: ["getpid"], action: "SCMP_ACT_ERRNO", args }] });
    }
    seccomp({ architectures: linux.seccomp.archs });
    expect(linux.seccomp.supportedFlags).toEqual(linux.seccomp.knownFlags);
    seccomp({ flags: linux.seccomp.supportedFlags });
  });

  test("annotations that change what is asked of the host", () => {
    const { potentiallyUnsafeConfigAnnotations } = listed();
    expect(potentiallyUnsafeConfigAnnotations).toEqual([
      "run.oci.keep_original_groups",
      "org.systemd.property.",
    ]);
    const said = new Map([["org.systemd.property.SendSIGHUP", "true"]]);
    const { systemd } = planCgroups(undefined, "system.slice:crio:box", HOST.cgroups, "box", said);
    expect(systemd?.scope.properties.at(-1)?.name).toBe("SendSIGHUP");
  });

  test("rdma", () => {
    plan({ linux: { resources: { rdma: { mlx5_1: { hcaHandles: 3 } } } } });
  });
});

describe("what is refused is not listed", () => {
  const { hooks, mountOptions, linux } = listed();

  function refused(act: () => unknown): boolean {
    try {
      act();
      return false;
    } catch {
      return true;
    }
  }

  test("hooks", () => {
    const refusedHooks = HOOK_POINTS.filter((point) =>
      refused(() => plan({ hooks: { [point]: [{ path: "/bin/true" }] } })),
    );
    expect(hooks.toSorted()).toEqual(HOOK_POINTS.filter((point) => !refusedHooks.includes(point)).toSorted());
  });

  test("mount options", () => {
    for (const option of ["idmap", "ridmap"]) {
      expect(mountOptions).toContain(option);
      expect(refused(() => mount(option))).toBe(true); // of a filesystem; bind mounts: mount-options.test.ts
    }
    // crun's own form of it.
    expect(refused(() => mount("idmap=uids=0-1-10"))).toBe(true);
  });

  test("actions", () => {
    for (const action of SECCOMP_ACTIONS.filter((name) => !linux.seccomp.actions.includes(name))) {
      expect(refused(() => seccomp({ defaultAction: action }))).toBe(true);
    }
    expect(linux.seccomp.actions).not.toContain("SCMP_ACT_NOTIFY");
  });

  test("what this kernel or this liblxc lacks", () => {
    const old = listed({
      ...HOST,
      seccompActions: ["errno", "allow"],
      lastCapability: 37,
      lxcVersion: { major: 7, minor: 0 },
    });
    expect(old.linux.seccomp.actions).toEqual(["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"]);
    expect(old.linux.capabilities.at(-1)).toBe("CAP_AUDIT_READ");
    expect(old.linux.cgroup["v1"]).toBe(false);
  });

  test("the systemd cgroup driver, of the machine's systemd only", () => {
    expect(linux.cgroup).toMatchObject({ systemd: true, systemdUser: false });
    const { path } = planCgroups(undefined, "system.slice:crio:box", HOST.cgroups, "box", new Map());
    expect(path).toStartWith("/system.slice/crio-box.scope");
  });

  test("every namespace of the specification is there", () => {
    expect(linux.namespaces).toEqual([...NAMESPACE_TYPES].sort());
  });
});
