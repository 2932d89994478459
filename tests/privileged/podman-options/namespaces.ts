import { type Case, run, script } from "./cases.ts";

const DETACHED = "run -d --name NAME-peer --network none";
const SLEEP = "IMAGE sleep 1000";
/** The peer's own namespace, which is then seen again. On cgroup v1 the peer has none of control groups. */
const again = (type: string): RegExp => new RegExp(`^${type} (\\d+)\\n(?:.*\\n)*${type} \\1$`, "m");
const CGROUP_AGAIN = { v1: /^cgroup of the host\n(?:.*\n)*cgroup of the host$/m, v2: again("cgroup") };

/** A second container that shares a namespace with a first. */
function joining(option: string, shows: Case["shows"], more: Pick<Case, "otherwise"> = {}): Case {
  return script(
    `run ${option}`,
    [
      `${DETACHED} ${SLEEP}`,
      "exec NAME-peer probe namespaces",
      `run --rm --name NAME ${option.includes("--net") ? "" : "--network none "}${option} IMAGE probe`,
    ],
    shows,
    more,
  );
}

export const NAMESPACES: readonly Case[] = [
  run("", [/^mnt \d$/m, /^CapEff:\t00000000a80425fb$/m, { v1: "cgroup of the host", v2: /^cgroup \d$/m }]),
  run("--pid host", ["pid of the host"], ["probe", "namespaces", "mounts", "status", "masked"]),
  run("--ipc host", ["ipc of the host"]),
  run("--ipc private", [/^ipc \d$/m]),
  run("--ipc none", [/^ipc \d$/m]),
  run("--ipc shareable", [/^ipc \d$/m]),
  run("--uts host", ["uts of the host"], ["probe", "namespaces", "mounts", "status", "uts", "env"]),
  run(
    "--network host",
    ["net of the host"],
    ["probe", "namespaces", "mounts", "status", "etc", "sysctl", "writable", "masked"],
  ),
  run("--cgroupns host", ["cgroup of the host"]),
  run("--cgroupns private", [/^cgroup \d$/m, /^0::\/$/m]),
  run(
    "--pid host --ipc host --uts host --network host --cgroupns host",
    [/(of the host\n.*){5}/],
    ["probe", "namespaces", "mounts"],
  ),
  joining("--pid container:NAME-peer", [again("pid")]),
  joining("--ipc container:NAME-peer", [again("ipc")]),
  joining("--uts container:NAME-peer", [again("uts")]),
  joining("--net container:NAME-peer", [again("net")]),
  joining("--cgroupns container:NAME-peer", [CGROUP_AGAIN]),
  joining(
    "--pid container:NAME-peer --ipc container:NAME-peer --uts container:NAME-peer --net container:NAME-peer",
    [again("pid"), again("ipc"), again("uts"), again("net")],
  ),
  script(
    "namespaces by path",
    [
      `run -d --name NAME-peer --network none ${SLEEP}`,
      ["sh", "podman inspect --format '{{.State.Pid}}' NAME-peer > DIR/pid"],
      "exec NAME-peer probe namespaces",
      ...["pid", "ipc", "uts", "net", "cgroupns"].map((type) => [
        "sh",
        `podman run --rm --name NAME ${type === "net" ? "" : "--network none"} --${type} ns:/proc/$(cat DIR/pid)/ns/${type === "cgroupns" ? "cgroup" : type} IMAGE readlink /proc/self/ns/${type === "cgroupns" ? "cgroup" : type}`,
      ]),
    ],
    [again("pid"), again("ipc"), again("uts"), again("net"), CGROUP_AGAIN],
  ),
  script(
    "a namespace path that is none, and one of another type",
    [
      "run --rm --name NAME --network none --ipc ns:/proc/nothing/ns/ipc IMAGE true",
      "run --rm --name NAME --network none --uts ns:/proc/1/ns/ipc IMAGE true",
      "run --rm --name NAME --network ns:/etc/passwd IMAGE true",
    ],
    ["exit code 126"],
  ),
  run("--userns host", ["user of the host"]),
  run("--userns auto:size=2000", [/exit code/]),
  run("--userns auto:size=2000 --user alice", [/exit code/]),
  run("--uidmap 0:100000:5000 --gidmap 0:200000:5000", [/^ +0 +100000 +5000$/m, /^ +0 +200000 +5000$/m]),
  run("--uidmap 0:100000:5000", [/^ +0 +100000 +5000$/m]),
  run("--uidmap 0:1000:1 --uidmap 1:100001:3000 --user 7:8 --group-add 9", [/exit code/]),
  run("--uidmap 0:100000:5000 --privileged", [/^CapEff:\t000001f/m]),
  run("--uidmap 0:100000:5000 --cap-add sys_admin --ipc host", [/exit code/]),
  run(
    "--uidmap 0:100000:5000 --network host",
    [/^ +0 +100000 +5000$/m],
    ["probe", "status", "idmap", "mounts", "dev"],
  ),
  run("--uidmap 0:100000:5000 --cgroupns private -v DIR:/mnt", [/^\/mnt /m]),
  run(
    "--uidmap 0:100000:5000 --cgroupns host",
    [/^ +0 +100000 +5000$/m],
    ["probe", "namespaces", "idmap", "cgroup", "mounts"],
  ),
  run("--uidmap 0:100000:5000 -v DIR:/mnt:U --read-only --tmpfs /tmp", [/^\/mnt /m]),
  run("--subuidname nobody-such", [/exit code 12\d/]),
  run("--userns keep-id", [/exit code/]),
  run("--userns nomap", [/exit code/]),
  joining("--userns container:NAME-peer", [/user/], {
    otherwise: {
      why: "the peer's user namespace is the host's, which runc tries to join and cannot",
      says: /error \(other\)/,
      ours: ["user of the host", "exit code 0"],
    },
  }),
];
