import { AFTER_CLEANUP, type Case, run, script } from "./cases.ts";

const FILES = ["probe", "cgroup-files", "cgroup"];

/** runc gives up; crio-lxc raises what can be raised, and says so in its log (issue 4). */
function unraised(ours: RegExp): Pick<Case, "otherwise"> {
  return {
    otherwise: {
      why: "the host lacks CAP_SYS_RESOURCE",
      says: /error \(no permission\)|error \(other\)/,
      ours: [ours, "exit code 0"],
    },
  };
}

export const RESOURCES: readonly Case[] = [
  run("--memory 64m", ["memory.limit_in_bytes: 67108864"], FILES),
  run("--memory 64m --memory-swap 128m", ["memory.memsw.limit_in_bytes: 134217728"], FILES),
  run("--memory 64m --memory-swap -1", ["memory.limit_in_bytes: 67108864"], FILES),
  run("--memory 64m --memory-swap 64m", ["memsw.limit_in_bytes: 67108864"], FILES),
  run("--memory-reservation 32m", ["memory.soft_limit_in_bytes: 33554432"], FILES),
  run("--memory-swappiness 10", ["memory.swappiness: 10"], FILES),
  run("--memory 64m --oom-kill-disable", ["oom_kill_disable 1"], FILES),
  run("--memory 1k", [/exit code 12\d/], FILES),
  run("--memory 64m --memory-swap 32m", [/exit code 12\d/], FILES),
  run("--kernel-memory 32m", [/exit code/], FILES),
  run("--cpus 0.5", ["cpu.cfs_quota_us: 50000"], FILES),
  run("--cpu-quota 20000 --cpu-period 50000", ["cpu.cfs_period_us: 50000"], FILES),
  run("--cpu-shares 300", ["cpu.shares: 300"], FILES),
  run("--cpu-shares 1", ["exit code 126"], FILES),
  run("--cpuset-cpus 1", ["cpuset.cpus: 1"], ["probe", "cgroup-files", "status"]),
  run("--cpuset-cpus 0-1 --cpuset-mems 0", ["cpuset.cpus: 0-1"], FILES),
  run("--cpuset-cpus 77", [/exit code 12\d/], FILES),
  run("--cpu-rt-period 1000000 --cpu-rt-runtime 10000", [/exit code/], FILES),
  run("--pids-limit 33", ["pids.max: 33"], FILES),
  run("--pids-limit -1", ["pids.max: max"], FILES),
  run("--pids-limit 0", ["pids.max: max"], FILES),
  run("--blkio-weight 300", [/bfq.weight: \d+/], FILES),
  run("--blkio-weight 5", [/exit code/], FILES),
  run(
    "--device-read-bps /dev/vda:1mb --device-write-iops /dev/vda:100",
    [/read_bps_device: 254:0 1048576/],
    FILES,
  ),
  run("--blkio-weight-device /dev/vda:200", [/exit code/], FILES, {
    otherwise: {
      why: "the disk's scheduler has no weights; they are shares, not limits: crio-lxc warns in its log",
      says: /error \(other\)/,
      ours: ["exit code 0"],
    },
  }),
  run("--cgroup-parent /atomfs-options", [":/atomfs-options/libpod-ID"], FILES),
  run("--cgroup-parent relative/path", [/relative\/path/], FILES, {
    differs: {
      why: "where a relative path leads is the runtime's choice (config-linux.md); runc takes its own cgroup, another one in each hierarchy",
      from: /:\/\S*relative\/path\/libpod/g,
      to: ":RELATIVE/libpod",
    },
  }),
  run("--cgroups disabled", [/exit code/], ["probe", "cgroup", "status"]),
  run("--cgroups no-conmon", [/exit code 0/], FILES),
  run("--cgroups split", [/exit code/], ["true"]),
  run("--cgroups nonsense", [/exit code 12\d/], ["true"]),
  run("--ulimit nofile=100:200 --ulimit nproc=100:100", [/^Max open files +100 +200/m], ["probe", "limits"]),
  run(
    "--ulimit nofile=999999999:999999999",
    [/Max open files/],
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
    [/Max locked memory/],
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
