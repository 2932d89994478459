import { readFileSync } from "node:fs";
import { AFTER_CLEANUP, type Case, type Proof, run, script } from "./cases.ts";

const FILES = ["probe", "cgroup-files", "cgroup"];

const CAP_SYS_RESOURCE = 1n << 24n;
const CAPABILITIES = /^CapEff:\s*(\w+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0";
const MAY_RAISE = (BigInt(`0x${CAPABILITIES}`) & CAP_SYS_RESOURCE) !== 0n;

/** Without that capability runc gives up; crio-lxc raises what can be raised, and says so in its log (issue 4). */
function unraised(ours: RegExp): Pick<Case, "otherwise"> {
  if (MAY_RAISE) return {};
  return {
    otherwise: {
      why: "the host lacks CAP_SYS_RESOURCE",
      says: /error \(no permission\)|error \(other\)/,
      ours: [ours, "exit code 0"],
    },
  };
}

const MEMORY_64M: Proof = { v1: "memory.limit_in_bytes: 67108864", v2: /^memory\.max: 67108864$/m };

/** A file of cgroup v2 by its name. */
function conf(files: string, shows: Case["shows"]): Case {
  const options = files
    .split(" ")
    .map((each) => `--cgroup-conf ${each}`)
    .join(" ");
  return run(options, shows, FILES, { only: "v2" });
}

export const RESOURCES: readonly Case[] = [
  run("--memory 64m", [MEMORY_64M], FILES),
  run(
    "--memory 64m --memory-swap 128m",
    [{ v1: "memory.memsw.limit_in_bytes: 134217728", v2: /^memory\.swap\.max: 67108864$/m }],
    FILES,
  ),
  run("--memory 64m --memory-swap -1", [MEMORY_64M, { v1: "memsw", v2: /^memory\.swap\.max: max$/m }], FILES),
  run(
    "--memory 64m --memory-swap 64m",
    [{ v1: "memsw.limit_in_bytes: 67108864", v2: /^memory\.swap\.max: 0$/m }],
    FILES,
  ),
  run(
    "--memory-reservation 32m",
    [{ v1: "memory.soft_limit_in_bytes: 33554432", v2: /^memory\.low: 33554432$/m }],
    FILES,
  ),
  run("--memory-swappiness 10", [{ v1: "memory.swappiness: 10", v2: /^memory\.max: max$/m }], FILES),
  run(
    "--memory 64m --oom-kill-disable",
    [{ v1: "oom_kill_disable 1", v2: /^memory\.max: 67108864$/m }],
    FILES,
  ),
  run("--memory 1k", [/exit code 12\d/], FILES),
  run("--memory 64m --memory-swap 32m", [/exit code 12\d/], FILES),
  run("--memory-swap 128m", [/exit code 12\d/], FILES),
  run(
    "--memory 64m --memory-swap 65m --memory-reservation 33m",
    [
      { v1: "memsw.limit_in_bytes: 68157440", v2: /^memory\.swap\.max: 1048576$/m },
      { v1: "memory.soft_limit_in_bytes: 34603008", v2: /^memory\.low: 34603008$/m },
    ],
    FILES,
  ),
  run("--kernel-memory 32m", ["This flag is a noop"], FILES),
  run("--cpus 0.5", [{ v1: "cpu.cfs_quota_us: 50000", v2: /^cpu\.max: 50000 100000$/m }], FILES),
  run(
    "--cpu-quota 20000 --cpu-period 50000",
    [{ v1: "cpu.cfs_period_us: 50000", v2: /^cpu\.max: 20000 50000$/m }],
    FILES,
  ),
  run("--cpu-shares 300", [{ v1: "cpu.shares: 300", v2: /^cpu\.weight: WEIGHT$/m }], FILES, {
    differs: {
      why: "on cgroup v2, 300 shares are the weight 12 for runc 1.1, 39 for runc 1.3 and crun, which have another formula",
      from: /^(cpu\.weight: )(?:12|39)$/gm,
      to: "$1WEIGHT",
    },
  }),
  run("--cpu-shares 1024", [{ v1: "cpu.shares: 1024", v2: /^cpu\.weight: WEIGHT$/m }], FILES, {
    differs: {
      why: "on cgroup v2, the usual shares are the weight 39 for runc 1.1, and the usual weight for runc 1.3 and crun",
      from: /^(cpu\.weight: )(?:39|100)$/gm,
      to: "$1WEIGHT",
    },
  }),
  run("--cpu-shares 1", ["exit code 126"], FILES, {
    otherwise: {
      why: "on cgroup v2 the formula of runc 1.1 makes a weight of it that the kernel refuses; runc 1.3 and crun take the least one",
      only: "v2",
      says: /error \(other\)/,
      ours: [/^cpu\.weight: 1$/m, "exit code 0"],
    },
  }),
  run(
    "--cpuset-cpus 1",
    [/cpuset\.cpus: 1$/m, /^Cpus_allowed_list:\t1$/m],
    ["probe", "cgroup-files", "status"],
  ),
  run("--cpuset-cpus 0-1 --cpuset-mems 0", [/cpuset\.cpus: 0-1$/m, /cpuset\.mems: 0$/m], FILES),
  run("--cpuset-cpus 77", [/exit code 12\d/], FILES),
  run(
    "--cpu-rt-period 1000000 --cpu-rt-runtime 10000",
    // On v2 it is Podman that leaves them out.
    [{ v1: "exit code 126", v2: "Realtime runtime not supported on cgroups V2 systems" }],
    FILES,
  ),
  run("--pids-limit 33", ["pids.max: 33"], FILES),
  run("--pids-limit -1", ["pids.max: max"], FILES),
  run("--pids-limit 0", ["pids.max: max"], FILES),
  run("--blkio-weight 300", [{ v1: /bfq.weight: \d+/, v2: /^io\.weight: default 2930$/m }], FILES),
  run("--blkio-weight 5", [{ v1: /exit code/, v2: "exit code 126" }], FILES),
  run(
    "--device-read-bps /dev/vda:1mb --device-write-iops /dev/vda:100",
    [
      {
        v1: /read_bps_device: \d+:0 1048576/,
        v2: /^io\.max: \d+:0 rbps=1048576 wbps=max riops=max wiops=100$/m,
      },
    ],
    FILES,
  ),
  run("--blkio-weight-device /dev/vda:200", [/exit code/], FILES, {
    otherwise: {
      why: "the disk's scheduler has no weights; they are shares, not limits: crio-lxc warns in its log",
      says: /error \(other\)/,
      ours: ["exit code 0"],
    },
  }),
  run("--cgroupns host --cgroup-parent /atomfs-options", [":/atomfs-options/libpod-ID"], FILES),
  run("--cgroupns host --cgroup-parent relative/path", [":RELATIVE/libpod-ID"], FILES, {
    differs: {
      why: "where a relative path leads is the runtime's choice (config-linux.md); runc takes its own cgroup, another one in each hierarchy",
      from: /:\/\S*relative\/path\/libpod/g,
      to: ":RELATIVE/libpod",
    },
  }),
  run("--cgroup-parent /atomfs-options --memory 64m", [MEMORY_64M], FILES),
  // On v1 this is the default.
  run("--cgroupns host --memory 64m", [/^0::\/\S*\/libpod-ID$/m, MEMORY_64M], FILES, { only: "v2" }),
  conf("memory.high=50331648", [/^memory\.high: 50331648$/m]),
  conf("memory.min=1048576 memory.oom.group=1", [/^memory\.min: 1048576$/m, /^memory\.oom\.group: 1$/m]),
  conf("memory.low=8388608 pids.max=44 cpu.weight=77", [
    /^memory\.low: 8388608$/m,
    /^pids\.max: 44$/m,
    /^cpu\.weight: 77$/m,
  ]),
  conf("cpu.idle=1", [/^cpu\.idle: 1$/m]),
  conf("no.such=1", [/exit code 12\d/]),
  conf("memory.no_such=1", [/exit code 12\d/]),
  conf("memory.high=nonsense", [/exit code 12\d/]),
  run("--memory 64m --cgroup-conf memory.max=50331648", [/^memory\.max: 50331648$/m], FILES, { only: "v2" }),
  run("--cgroups disabled", [/exit code/], ["probe", "cgroup", "status"]),
  run("--cgroups no-conmon", [/exit code 0/], FILES),
  run("--cgroups split", [/exit code/], ["true"]),
  run("--cgroups nonsense", [/exit code 12\d/], ["true"]),
  run("--ulimit nofile=100:200 --ulimit nproc=100:100", [/^Max open files +100 +200/m], ["probe", "limits"]),
  run(
    "--ulimit nofile=999999999:999999999",
    // More than fs.nr_open, which bounds everybody.
    ["error (no permission)"],
    ["probe", "limits"],
    unraised(/^Max open files +\d+ +\d+/m),
  ),
  run(
    "--ulimit nofile=99:99 --ulimit nproc=50 --ulimit core=0:0 --ulimit stack=1048576 --ulimit cpu=100:200",
    [/^Max processes +50 +50/m],
    ["probe", "limits"],
  ),
  run(
    "--ulimit memlock=-1:-1",
    [/^Max locked memory +unlimited +unlimited/m],
    ["probe", "limits"],
    unraised(/^Max locked memory +\d+ +\d+/m),
  ),
  run(
    "--ulimit nofile=99:99 --ulimit nproc=50 --ulimit memlock=65536:65536 --ulimit sigpending=10:20 --ulimit msgqueue=1:2 --ulimit nice=0:0 --ulimit rtprio=0:0 --ulimit fsize=1000000",
    [/^Max locked memory +65536/m],
    ["probe", "limits"],
  ),
  run("--ulimit host", [/^Max open files/m], ["probe", "limits"]),
  run("--ulimit nonsense=3", [/exit code 12\d/], ["probe", "limits"]),
  run("--ulimit nofile=200:100", [/exit code 12\d/], ["probe", "limits"]),
  run("--oom-score-adj 500", [/^500$/m], ["probe", "status"]),
  run("--oom-score-adj -500", [/^-500$/m], ["probe", "status"], unraised(/^0$/m)),
  script(
    "limits are enforced",
    [
      [
        "run",
        "--rm",
        "--name",
        "NAME",
        "--network",
        "none",
        "--pids-limit",
        "5",
        "IMAGE",
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done",
      ],
      [
        "run",
        "--name",
        "NAME",
        "--network",
        "none",
        "--memory",
        "16m",
        "--memory-swap",
        "16m",
        "IMAGE",
        "sh",
        "-c",
        "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done",
      ],
      ["sh", AFTER_CLEANUP],
      ["inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Status}}", "NAME"],
    ],
    ["can't fork", "exit code 137"],
  ),
];
