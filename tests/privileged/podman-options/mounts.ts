import { type Case, run, script } from "./cases.ts";

const LOOK = ["probe", "mounts", "tmpfs", "writable", "dev"];
const MNT = [
  "sh",
  "-c",
  "probe mounts tmpfs writable; touch /mnt/new; ls -lan /mnt | awk '{print $1, $3, $4, $9}'",
];
const FILES: readonly string[] = [
  "sh",
  "mkdir -p DIR/src/sub; echo one > DIR/src/file; chmod 640 DIR/src/file; chown 12:34 DIR/src/file",
];

/** The root's mode and nothing else. */
const OVER_MODE = {
  differs: {
    why: "runc 1.1 gives a tmpfs the mode of what it covers even if it was told another one; later ones do as told",
    from: /^(\/mnt directory) (?:755|711|700) /gm,
    to: "$1 MODE ",
  },
};

/** With a directory of the host that holds a mount, a file and a directory. */
function bind(
  options: string,
  shows: Case["shows"],
  command: readonly string[] = MNT,
  more: Pick<Case, "differs"> = {},
): Case {
  return script(
    `run ${options} of a directory with a mount in it`,
    [
      FILES,
      ["sh", "mount -t tmpfs -o size=1m,mode=755 below DIR/src/sub; mount --make-shared DIR/src/sub"],
      ["run", "--rm", "--name", "NAME", "--network", "none", ...options.split(" "), "IMAGE", ...command],
      ["sh", "umount DIR/src/sub; ls -lan DIR/src | awk '{print $1, $3, $4, $9}'"],
    ],
    shows,
    more,
  );
}

/** A shared mount of the host; what the container mounts in it, and what the host does while it runs. */
function propagation(option: string, shows: Case["shows"]): Case {
  return script(
    `mounts reach the other side or not: ${option}`,
    [
      [
        "sh",
        "mkdir -p DIR/src; mount -t tmpfs source DIR/src; mount --make-shared DIR/src; mkdir DIR/src/a DIR/src/b",
      ],
      `run -d --name NAME --network none --cap-add sys_admin --security-opt seccomp=unconfined --security-opt apparmor=unconfined -v DIR/src:/mnt${option} IMAGE sleep 1000`,
      ["sh", "mount -t tmpfs fromhost DIR/src/a"],
      ["exec", "NAME", "sh", "-c", "mount -t tmpfs fromcontainer /mnt/b; grep /mnt /proc/self/mountinfo"],
      ["sh", "grep DIR/src /proc/self/mountinfo | cut -d' ' -f5- | sed 's/:[0-9]* / /'"],
      "rm -f -t 0 NAME",
      ["sh", "umount DIR/src/b 2>/dev/null; umount DIR/src/a; umount DIR/src"],
    ],
    shows,
  );
}

export const MOUNTS: readonly Case[] = [
  bind("-v DIR/src:/mnt", ["/mnt/new"]),
  bind("-v DIR/src:/mnt:ro", ["/mnt/new: Read-only"]),
  bind("-v DIR/src:/mnt:rbind,ro", ["Read-only"]),
  bind("-v DIR/src:/mnt:bind", [/exit code 0/]),
  bind("-v DIR/src:/mnt:nosuid,noexec,nodev", [/nosuid,nodev,noexec/]),
  bind("-v DIR/src:/mnt:suid,exec,dev", [/\/mnt rw,relatime/]),
  bind("-v DIR/src:/mnt:z", [/exit code 0/]),
  bind("-v DIR/src:/mnt:U --user 1000", [/ 1000 /]),
  bind("-v DIR/src:/mnt:O", [/overlay/]),
  bind("-v DIR/src:/new/place/deep", ["/new/place/deep"], LOOK),
  bind(
    "-v DIR/src/file:/data/file:ro",
    ["/data/file"],
    ["sh", "-c", "probe mounts tmpfs; cat /data/file; echo x > /data/file"],
  ),
  bind(
    "-v DIR/src/file:/new/file",
    ["/new/file"],
    ["sh", "-c", "probe mounts tmpfs; cat /new/file; stat -c '%a %u %g' /new"],
  ),
  bind("-v DIR/src:/link/inside", [/exit code 0/], ["sh", "-c", "probe mounts; ls -l /data"]),
  propagation("", [/fromhost/]),
  propagation(":rshared", [/\/src\/b [^\n]*fromcontainer/]),
  propagation(":shared", [/fromcontainer/]),
  propagation(":rslave", [/\/mnt\/a [^\n]*fromhost/]),
  propagation(":slave", [/\/mnt\/a [^\n]*fromhost/]),
  propagation(":rprivate", [/fromhost/]),
  propagation(":private", [/fromhost/]),
  propagation(":runbindable", [/fromhost/]),
  bind("--mount type=bind,src=DIR/src,dst=/mnt", [/\/mnt rw/]),
  bind("--mount type=bind,src=DIR/src,dst=/mnt,ro=true", [/\/mnt ro/]),
  bind("--mount type=bind,src=DIR/src,dst=/mnt,bind-nonrecursive", [/\/mnt rw/]),
  bind("--mount type=bind,src=DIR/src,dst=/mnt,bind-propagation=rshared", [/\/mnt rw[^\n]*shared/], MNT, {
    differs: {
      why: "Podman asks for a shared root then; runc leaves it private",
      from: /^(\/ \/ rw,relatime) shared -/gm,
      to: "$1 -",
    },
  }),
  bind("--mount type=bind,src=DIR/src,dst=/mnt,bind-propagation=slave", [/\/mnt rw/]),
  run("--mount type=tmpfs,dst=/mnt", [/\/ \/mnt rw[^\n]*tmpfs/], LOOK),
  run("--mount type=tmpfs,dst=/mnt,tmpfs-size=1m,tmpfs-mode=0711", [/size=1024k/], LOOK, OVER_MODE),
  run("--mount type=tmpfs,dst=/data,tmpcopyup", [/\/data\/file/], LOOK),
  run("--mount type=tmpfs,dst=/data,notmpcopyup", [/\/ \/data/], LOOK),
  run("--mount type=tmpfs,dst=/mnt,ro=true", [/\/ \/mnt ro/], LOOK),
  run("--mount type=volume,dst=/data", [/\/data\/file/], LOOK),
  run("--mount type=volume,src=NAME-vol,dst=/data,ro=true", [/\/data ro/], LOOK),
  run(
    "--mount type=image,src=IMAGE,dst=/mnt",
    [/\/mnt r/],
    ["sh", "-c", "probe mounts; ls /mnt; touch /mnt/x"],
  ),
  run(
    "--mount type=image,src=IMAGE,dst=/mnt,rw=true",
    [/\/mnt rw/],
    ["sh", "-c", "probe mounts; touch /mnt/x"],
  ),
  run("--mount type=devpts,dst=/dev/other", [/\/dev\/other [^\n]*devpts/], LOOK),
  run("--mount type=devpts,dst=/mnt,uid=5,gid=6,mode=600", [/\/mnt [^\n]*devpts/], LOOK),
  run("--tmpfs /mnt", [/\/ \/mnt rw/], LOOK),
  run("--tmpfs /mnt:size=64k,mode=700,noexec,ro", [/size=64k/], LOOK, OVER_MODE),
  run("--tmpfs /data", [/\/data\/file/], LOOK),
  run("--tmpfs /data:notmpcopyup,nosuid", [/\/ \/data/], LOOK),
  run("--tmpfs /run --tmpfs /tmp:rw,exec,suid,dev", [/\/ \/run rw/], LOOK),
  run("--tmpfs /mnt:uid=1000,gid=1000", [/exit code/], LOOK),
  run("--tmpfs /mnt:nonsense=3", [/exit code 12\d/], ["true"]),
  run("-v NAME-vol:/data", [/\/data\/file/], LOOK),
  run("-v /data", [/\/data\/file/], LOOK),
  run("-v NAME-vol:/data:nocopy", [/volumes/], LOOK),
  run("-v NAME-vol:/mnt:noexec,nosuid", [/noexec/], LOOK),
  run("-v /no/such/directory:/mnt", [/exit code 12\d/], ["true"]),
  run("-v DIR:relative", [/exit code 12\d/], ["true"]),
  run("--shm-size 1m", [/shm rw,size=1024k/], LOOK),
  run("--shm-size 0", [/shm/], LOOK),
  run("--tmpfs /dev/shm:size=2m", [/\/dev\/shm/], LOOK),
  run("-v /dev:/dev", [/\/dev rw/], ["probe", "mounts"]),
  run("-v /dev/shm:/dev/shm", [/\/dev\/shm/], ["probe", "mounts"]),
  run(
    "-v /proc:/hostproc:ro -v /sys:/hostsys:ro",
    [/\/hostproc/],
    ["sh", "-c", "grep host /proc/self/mountinfo | wc -l; ls /hostsys"],
  ),
  run("-v /sys/fs/cgroup:/sys/fs/cgroup:ro", [/\/sys\/fs\/cgroup/], ["probe", "mounts"]),
  run("-v /sys/fs/cgroup:/sys/fs/cgroup:rw --cgroupns private", [/\/sys\/fs\/cgroup/], ["probe", "mounts"]),
  run("--volumes-from no-such-container", [/exit code 12\d/], ["true"]),
  script(
    "run --volumes-from",
    [
      "create --name NAME-peer --network none -v /data -v NAME-vol:/mnt:ro IMAGE true",
      "run --rm --name NAME --network none --volumes-from NAME-peer IMAGE probe mounts tmpfs writable",
      "run --rm --name NAME --network none --volumes-from NAME-peer:ro IMAGE probe mounts tmpfs writable",
    ],
    [/\/data ro/],
  ),
];
