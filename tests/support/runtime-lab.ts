/**
 * crio-lxc with a planner that knows nothing but a root directory, a program and cgroups: for tests of what happens around
 * the plan. Run as a program: bun tests/support/runtime-lab.ts ARGUMENTS; RUNTIME_LAB_PLAYER names the player,
 * RUNTIME_LAB_LXC_START what is called as lxc-start.
 */
import { join } from "node:path";
import { fromText } from "../../src/core/bytestring.ts";
import { planCgroups } from "../../src/runtime/cgroup-plan.ts";
import { runCrioLxc } from "../../src/runtime/crio-lxc.ts";
import { lxcLauncher } from "../../src/runtime/launcher.ts";
import type { Action, Operation } from "../../src/runtime/operations.ts";
import type { LaunchPlan } from "../../src/runtime/plan.ts";
import { prepareLaunch } from "../../src/runtime/preparation.ts";
import type { Preparation } from "../../src/runtime/prepared-launch.ts";
import { readHostFacts } from "../../src/runtime/read-host-facts.ts";

const LXC_START = process.env["RUNTIME_LAB_LXC_START"] ?? "/usr/bin/lxc-start";

const prepare: Preparation = (_, { options, bundle, directory, config }) => {
  const facts = readHostFacts(LXC_START);
  const { root, process: program, linux, hooks, annotations, ociVersion } = config;
  if (root === undefined) throw new Error("the lab needs a root");
  const rootfs = join(bundle, root.path);
  const console = options.consoleSocket !== undefined;
  const actions: Action[] = [
    { kind: "await-launcher" },
    ...(console ? TERMINAL : []),
    { kind: "await-start" },
    {
      kind: "execute",
      args: (program?.args ?? []).map(fromText),
      env: (program?.env ?? []).map(fromText),
      descriptors: [],
    },
  ];
  const cgroups = planCgroups(linux.resources, linux.cgroupsPath, facts.cgroups, options.id, undefined);
  const plan: LaunchPlan = {
    lxcConfig: [
      ["lxc.uts.name", "lab"],
      ["lxc.rootfs.path", `dir:${rootfs}`],
      ["lxc.monitor.signal.pdeath", "0"],
      ["lxc.console.path", "none"],
      ["lxc.pty.max", "0"],
      ["lxc.tty.max", "0"],
      ["lxc.autodev", "0"],
      ["lxc.net.0.type", "empty"],
      ...(facts.apparmor ? [["lxc.apparmor.profile", "unconfined"] as const] : []),
      ...cgroups.lxcConfig,
    ],
    program: { operations: actions.map((does): Operation => ({ does, onError: "fail" })) },
    descriptors: console ? [{ kind: "console-socket" }] : [],
    cgroups,
    cgroupOwner: undefined,
    hooks: {
      prestart: hooks.prestart,
      createRuntime: hooks.createRuntime,
      poststart: hooks.poststart,
      poststop: hooks.poststop,
    },
    join: [],
    inUserNamespace: false,
    warnings: [],
    state: {
      id: options.id,
      ociVersion,
      bundle,
      rootfs,
      annotations,
      hasProcess: program !== undefined,
      terminal: console,
      ownPidNamespace: true,
      systemdCgroup: false,
    },
  };
  const player = process.env["RUNTIME_LAB_PLAYER"] ?? "player";
  return prepareLaunch(plan, { directory, consoleSocket: options.consoleSocket, player });
};

const TERMINAL: readonly Action[] = [
  {
    kind: "mount-filesystem",
    type: fromText("devpts"),
    source: fromText("devpts"),
    options: [
      [fromText("newinstance"), fromText("")],
      [fromText("ptmxmode"), fromText("0666")],
    ],
    attributes: 0,
    path: fromText("/dev/pts"),
    copyUp: false,
  },
  { kind: "open-console", socket: 0, rows: 24, columns: 80, bindConsole: false },
];

if (import.meta.main) {
  process.exitCode = await runCrioLxc(process.argv.slice(2), { prepare, launcher: lxcLauncher(LXC_START) });
}
