import { AFTER_CLEANUP, type Case, script, words } from "./cases.ts";

/** With Podman's `systemd` manager of control groups, its default where systemd is PID 1. */

/** Ends with 3 when it is told to, from when it is ready; and has two processes then. */
const ENDS = "trap 'exit 3' TERM; sleep 100000 & echo ready; wait";
const READY = isReady(1);
const SCOPE = "libpod-$(podman inspect -f '{{.Id}}' NAME).scope";

/** crio-lxc's containers are in a group of their own inside of the scope, which is systemd's: as crun's. */
const INSIDE_SCOPE: Pick<Case, "differs"> = {
  differs: {
    why: "the scope is systemd's and what is in it the runtime's (Delegate=); crun does the same",
    from: /(libpod-ID\.scope)\/container\b/g,
    to: "$1",
  },
};

/** Named NAME, and without a network of its own, unless the options say otherwise. */
function waiting(options: string): string[] {
  const name = options.includes("--name") ? "" : "--name NAME";
  const network = options.includes("--pod") ? "" : "--network none";
  return [...words(`run -d ${name} ${network} ${options} IMAGE sh -c`), ENDS];
}

function onHost(text: string): readonly string[] {
  return ["sh", text];
}

/** Without what the terminal itself adds: the end of an input that is empty. */
function inTerminal(command: string): readonly string[] {
  return onHost(
    `script -qec "${command}" /dev/null </dev/null >out; code=$?; tr -d '^@\\000' <out | grep .; exit $code`,
  );
}

/** What it said at earlier starts is still in its log. */
function isReady(starts: number, name = "NAME"): readonly string[] {
  return onHost(
    `until [ $(podman logs ${name} 2>/dev/null | grep -c ready) -ge ${starts} ]; do sleep 0.1; done`,
  );
}

/** Where the container is, and what its scope is like. */
const PLACE = onHost("sed -n 's/^0:://p' /proc/$(podman inspect -f '{{.State.Pid}}' NAME)/cgroup");
const POD_PLACE = onHost(`${PLACE[1]} | sed s/$(cat id)/THIS/`);
const UNIT = onHost(
  `systemctl show -p LoadState,ActiveState,SubState,Slice,Delegate,KillMode,CollectMode,Result ${SCOPE}`,
);
const PROPERTIES = onHost(
  `systemctl show -p MemoryMax,MemorySwapMax,CPUQuotaPerSecUSec,CPUQuotaPeriodUSec,CPUWeight,TasksMax,MemoryLow ${SCOPE}`,
);
/** The scope bounds whatever is inside of it. */
const SCOPE_FILES = onHost(
  `cd /sys/fs/cgroup/machine.slice/${SCOPE} && head memory.max memory.swap.max cpu.max cpu.weight pids.max memory.low`,
);
const OWN_FILES = [
  ..."exec NAME sh -c".split(" "),
  "cd /sys/fs/cgroup && head memory.max memory.swap.max cpu.max cpu.weight pids.max memory.low cpuset.cpus cgroup.controllers",
];
/** Neither unit nor group of what the file "id" names; conmon's own takes a moment longer than `podman stop`. */
const NOTHING_LEFT = onHost(
  "left() { systemctl list-units --all --plain --no-legend | grep $(cat id); find /sys/fs/cgroup -name '*'$(cat id)'*'; };" +
    'for i in $(seq 600); do [ -z "$(left)" ] && break; sleep 0.1; done; left; echo nothing more',
);
const KEEP_ID = onHost("podman inspect -f '{{.Id}}' NAME > id");

export const SYSTEMD: readonly Case[] = [
  script(
    "what a container sees of its control group",
    [
      ..."--rm --privileged --systemd=always --cgroupns=host"
        .split(" ")
        .map((option) =>
          onHost(
            `podman run --rm --name NAME --network none ${option} IMAGE sh -c 'cat /proc/self/cgroup; grep cgroup /proc/mounts; cd /sys/fs/cgroup; ls; cat cgroup.controllers'`,
          ),
        ),
    ],
    [/^0::\/$/m, /^memory\.current$/m, /^cpuset cpu io memory/m],
    INSIDE_SCOPE,
  ),
  script(
    "who may divide it",
    [
      "",
      "--privileged --user alice",
      "--systemd=always",
      "--systemd=always --uidmap 0:100000:65536",
      "--uidmap 0:100000:65536",
    ].map((options) =>
      onHost(
        `podman run --rm --name NAME --network none ${options} IMAGE sh -c 'cd /sys/fs/cgroup; stat -c "%n %a %u %g" . *; mkdir x; echo $$ > x/cgroup.procs; cat /proc/self/cgroup'`,
      ),
    ),
    [/^\. 755 1000 0$/m, /^cgroup\.procs 644 0 65534$/m, /^0::\/x$/m],
  ),
  script(
    "its life, seen by Podman and by systemd",
    [
      waiting(""),
      READY,
      KEEP_ID,
      PLACE,
      UNIT,
      "inspect -f {{.State.CgroupPath}} NAME",
      "exec NAME sh -c exit\\ 7",
      ["top", "NAME", "comm"],
      "pause NAME",
      "inspect -f {{.State.Status}} NAME",
      "unpause NAME",
      "restart -t 20 NAME",
      isReady(2),
      UNIT,
      "stop -t 20 NAME",
      "inspect -f {{.State.Status}}:{{.State.ExitCode}} NAME",
      NOTHING_LEFT,
      "start NAME",
      isReady(3),
      PLACE,
      "kill -s TERM NAME",
      "wait NAME",
      "start NAME",
      "kill NAME",
      "wait NAME",
      "rm NAME",
      NOTHING_LEFT,
    ],
    [/^\/machine\.slice\/libpod-ID\.scope$/m, "ActiveState=active", "Delegate=yes", /^137$/m, "exited:3"],
    INSIDE_SCOPE,
  ),
  script(
    "limits, in the container, in its scope and in systemd's eyes",
    [
      waiting("--memory 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --pids-limit 77"),
      READY,
      OWN_FILES,
      SCOPE_FILES,
      PROPERTIES,
      ["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemLimit}}", "NAME"],
      "update --memory 48m --cpus 0.25 NAME",
      OWN_FILES,
      SCOPE_FILES,
      PROPERTIES,
      onHost("systemctl daemon-reload"),
      SCOPE_FILES,
      OWN_FILES,
      ["exec", "NAME", "sh", "-c", "echo x > /dev/null && head -c 4 /dev/urandom | wc -c"],
    ],
    ["MemoryMax=67108864", "CPUQuotaPerSecUSec=500ms", "TasksMax=77", "MemoryMax=50331648", "25000 100000"],
    {
      differs: {
        why: "512 shares are the weight 20 for runc 1.1, 59 for runc 1.3 and crun, which have another formula",
        from: /(CPUWeight=|cpu\.weight <==\n)(?:20|59)$/gm,
        to: "$1WEIGHT",
      },
    },
  ),
  script(
    "limits that come later",
    [
      waiting(""),
      OWN_FILES,
      PROPERTIES,
      "update --memory 48m --cpus 0.25 --cpuset-cpus 1 NAME",
      OWN_FILES,
      PROPERTIES,
    ],
    ["50331648", "25000 100000"],
  ),
  script(
    "a process that needs more memory than there may be, and then init itself",
    [
      [
        ..."run --name NAME --network none --memory 20m --memory-swap 20m IMAGE sh -c".split(" "),
        "(x=a; while :; do x=$x$x; done); echo $?; grep -w oom_kill /sys/fs/cgroup/memory.events; x=a; while :; do x=$x$x; done",
      ],
      onHost(AFTER_CLEANUP),
      "inspect -f {{.State.Status}}:{{.State.ExitCode}} NAME",
    ],
    [/^oom_kill 1$/m, "exited:137"],
  ),
  script(
    "in a terminal",
    [
      inTerminal("podman run --rm -ti --name NAME --network none IMAGE sh -c 'tty; exit 5'"),
      waiting(""),
      inTerminal("podman exec -ti NAME tty"),
    ],
    ["/dev/pts/0", "exit code 5"],
  ),
  script(
    "a pod: its slice, its infra container and two more",
    [
      "pod create --name NAME-pod --network none",
      waiting("--pod NAME-pod"),
      waiting("--pod NAME-pod --name NAME-2"),
      isReady(1, "NAME-2"),
      onHost("podman pod inspect -f '{{.Id}}' NAME-pod > id"),
      POD_PLACE,
      onHost(
        "cd /sys/fs/cgroup/machine.slice/machine-libpod_pod_$(cat id).slice; ls -d libpod* | grep -v conmon; systemctl show -p ActiveState,LoadState machine-libpod_pod_$(cat $OLDPWD/id).slice",
      ),
      "exec NAME-2 cat /proc/self/cgroup",
      "pod pause NAME-pod",
      "pod unpause NAME-pod",
      "pod restart NAME-pod",
      isReady(2, "NAME-2"),
      "pod stop -t 20 NAME-pod",
      // How long ago it was is how fast the machine is.
      onHost(
        "podman ps -a --filter pod=NAME-pod --filter name=NAME-2 --format '{{.Names}} {{.Status}}' | sed 's/ [^)]* ago$//'",
      ),
      "pod start NAME-pod",
      POD_PLACE,
      "pod rm -f -t 20 NAME-pod",
      NOTHING_LEFT,
    ],
    [
      /^\/machine\.slice\/machine-libpod_pod_THIS\.slice\/libpod-ID\.scope$/m,
      "Exited (3)",
      "ActiveState=active",
    ],
    INSIDE_SCOPE,
  ),
  ...[
    "user.slice",
    "atomfs-systest.slice",
    "-.slice",
    "kubepods-burstable-pod1234_5678.slice",
    "/atomfs",
    "a--b.slice",
  ].map((parent) =>
    script(
      `--cgroup-parent ${parent}`,
      [waiting(`--cgroup-parent ${parent}`), PLACE, UNIT, OWN_FILES],
      parent.startsWith("/") || parent.includes("--") ? [/exit code 12\d/] : ["libpod-ID.scope"],
      INSIDE_SCOPE,
    ),
  ),
  script(
    "--cgroups=no-conmon and disabled",
    [waiting("--cgroups=no-conmon"), PLACE, "rm -f -t 20 NAME", waiting("--cgroups=disabled")],
    [/^\/machine\.slice\/libpod-ID\.scope$/m, "exit code 125"],
    INSIDE_SCOPE,
  ),
  script(
    "systemctl stop of the scope ends the container",
    [waiting(""), READY, onHost(`systemctl stop ${SCOPE}`), "wait NAME", "start NAME", isReady(2), UNIT],
    [/^3$/m, "ActiveState=active"],
  ),
  service("a unit made by podman generate systemd, with --cgroups=no-conmon --sdnotify=conmon", [
    `podman create --name NAME --network none IMAGE sh -c "${ENDS}"`,
    "podman generate systemd --new --name NAME > /run/systemd/system/NAME.service",
    "podman rm NAME",
  ]),
  service("a unit as Quadlet makes it, with --cgroups=split", [
    `cat > /run/systemd/system/NAME.service <<X
[Service]
Environment=PATH=$PATH CONTAINERS_CONF=$CONTAINERS_CONF CONTAINERS_STORAGE_CONF=$CONTAINERS_STORAGE_CONF
Type=notify
NotifyAccess=all
Delegate=yes
KillMode=mixed
Restart=on-failure
ExecStart=$(command -v podman) run --name NAME --replace --rm --cgroups=split --sdnotify=conmon -d --memory 64m --network none IMAGE sh -c "${ENDS}"
ExecStopPost=-$(command -v podman) rm -f -i NAME
X`,
  ]),
];

/** Started by systemd, killed, started again by systemd, stopped. */
function service(name: string, make: readonly string[]): Case {
  const drop = `/run/systemd/system/NAME.service.d`;
  return script(
    name,
    [
      onHost(make.join(" && ")),
      // Podman writes its own path and not what it was told by the environment.
      onHost(
        `mkdir ${drop}; printf '[Service]\\nEnvironment=%s %s %s\\n' PATH=$PATH CONTAINERS_CONF=$CONTAINERS_CONF CONTAINERS_STORAGE_CONF=$CONTAINERS_STORAGE_CONF > ${drop}/env.conf; sed -i 's,/usr/bin/podman,'$(command -v podman)',' /run/systemd/system/NAME.service; systemctl daemon-reload`,
      ),
      onHost("systemctl start NAME; systemctl show -p ActiveState,SubState,NRestarts NAME"),
      PLACE,
      "exec NAME cat /proc/self/cgroup /sys/fs/cgroup/memory.max",
      onHost(
        "podman kill NAME; for i in $(seq 600); do [ $(systemctl show -P NRestarts NAME).$(systemctl show -P SubState NAME) = 1.running ] && break; sleep 0.1; done; systemctl show -p ActiveState,SubState,NRestarts NAME",
      ),
      READY,
      PLACE,
      onHost("systemctl stop NAME; systemctl show -p ActiveState,Result,ExecMainStatus NAME"),
      "ps -a --filter name=NAME --format {{.Names}}",
      onHost(
        `rm -r /run/systemd/system/NAME.service ${drop}; systemctl reset-failed NAME; systemctl daemon-reload`,
      ),
    ],
    ["NRestarts=1", "SubState=running"],
    INSIDE_SCOPE,
  );
}
