import { type Case, run, script } from "./cases.ts";

/** Podman keeps the environment in no order. */
const SORTED_ENV = "/bin/env | /bin/sort";
const IDS = ["probe", "status", "ids", "process", "env"];

export const PROCESS: readonly Case[] = [
  run("--user alice", [/^uid=1000\(alice\) gid=1000\(alice\) /m, /^Groups:\t10 1000 2000 $/m]),
  run("--user 1000:10", ["gid=10(wheel)"], IDS),
  run("--user alice:extra", ["gid=2000(extra)"], IDS),
  run("--user 4321:8765", [/^uid=4321\S* gid=8765/m], IDS),
  run("--user nobody-such", [/exit code 12\d/], IDS),
  run("--user 1000 --group-add 77 --group-add wheel", ["77"], IDS),
  run("--user 1000 --group-add keep-groups", [/exit code/], IDS, {
    differs: {
      why: "runc does not know crun's annotation for it and gives the groups of the image's user",
      from: /^(Groups:|uid=1000\S+ gid=\S+).*$/gm,
      to: "$1",
    },
  }),
  run("--workdir /data", [/^\/data$/m], ["probe", "process", "env"]),
  run("--workdir /no/such/place", [/exit code/], ["probe", "process", "tmpfs"]),
  run("--workdir /etc/passwd", [/exit code 12\d/], ["true"]),
  run("--workdir relative", [/exit code/], ["probe", "process"]),
  run("--workdir /data --user 1000", [/exit code/], ["probe", "process"]),
  run("--umask 0077", [/^0077$/m], ["sh", "-c", "umask; touch /tmp/a; stat -c %a /tmp/a"]),
  run("--umask 8", [/exit code 12\d/], ["true"]),
  run(
    "--sysctl kernel.msgmax=12345 --sysctl fs.mqueue.msg_max=5 --sysctl net.ipv4.ip_unprivileged_port_start=80",
    ["kernel/msgmax 12345"],
    ["probe", "sysctl"],
  ),
  run("--sysctl vm.swappiness=5", [/exit code 12\d/], ["true"]),
  run("--sysctl kernel.domainname=example", ["example"], ["probe", "uts"]),
  run("--sysctl net.ipv4.no_such=5", [/exit code 12\d/], ["true"]),
  run("--ipc host --sysctl kernel.msgmax=12345", [/exit code 12\d/], ["true"]),
  run("--network host --sysctl net.ipv4.ip_forward=1", [/exit code 12\d/], ["true"]),
  run("--hostname box.example --network none", ["box.example"], ["probe", "uts", "etc", "env"]),
  run("--hostname box --uts host", [/exit code 12\d/], ["true"]),
  run(
    "--add-host db:10.1.2.3 --dns 10.9.9.9 --dns-search example.org --dns-option ndots:3 --network bridge",
    ["10.1.2.3\tdb", "nameserver 10.9.9.9"],
    ["sh", "-c", "cat /etc/resolv.conf; grep db /etc/hosts"],
  ),
  run("--no-hosts --network bridge", [/exit code/], ["sh", "-c", "cat /etc/hosts"]),
  run(
    "--network bridge",
    ["eth0"],
    [
      "sh",
      "-c",
      "probe namespaces mounts status; ip -o link | cut -d' ' -f2 | cut -d@ -f1; ip route | cut -d' ' -f1-3; ping -c1 -W30 10.89.182.1 >/dev/null && echo reaches the host",
    ],
  ),
  run("--env A=1 --env B --env=C=x=y --env-host=false", [/^A=1$/m, /^C=x=y$/m], ["probe", "env"]),
  run("--unsetenv PATH --env HOME=/elsewhere", ["HOME=/elsewhere"], ["/bin/sh", "-c", SORTED_ENV]),
  run("--unsetenv-all", [/exit code/], ["/bin/sh", "-c", SORTED_ENV]),
  script(
    "run --env-file",
    [
      ["sh", "printf 'ONE=1\\nTWO=two words\\n' > DIR/env"],
      "run --rm --name NAME --network none --env-file DIR/env IMAGE probe env",
    ],
    ["TWO=two words"],
  ),
  run("--entrypoint /bin/echo", ["of the entrypoint"], ["arguments", "of the entrypoint"]),
  script(
    "run --entrypoint with a list",
    [
      [
        "run",
        "--rm",
        "--name",
        "NAME",
        "--network",
        "none",
        "--entrypoint",
        '["/bin/sh","-c","echo $0 $1"]',
        "IMAGE",
        "a",
        "b",
      ],
    ],
    ["a b"],
  ),
  run(
    "--init",
    ["catatonit"],
    [
      "sh",
      "-c",
      "cat /proc/1/comm; probe mounts dev process; ls -l /dev/init /run/podman-init 2>&1 | cut -c1-10",
    ],
  ),
  run("--init", [/exit code 5/], ["sh", "-c", "exit 5"]),
  run("--preserve-fds 0", ["exit code 0"], ["probe", "fds"]),
  script(
    "run --preserve-fds",
    [
      [
        "sh",
        "echo of the host > DIR/file; exec 3<DIR/file 4<DIR/file; podman run --rm --name NAME --network none --preserve-fds 2 IMAGE sh -c 'cat <&3; ls /proc/self/fd | wc -l'; echo $?",
      ],
    ],
    ["of the host"],
  ),
  script(
    "run -i",
    [
      [
        "sh",
        "echo to the program | podman run --rm -i --name NAME --network none IMAGE sh -c 'cat; readlink /proc/self/fd/0'",
      ],
    ],
    ["to the program"],
  ),
  script(
    "run without -i",
    [
      [
        "sh",
        "echo to nobody | podman run --rm --name NAME --network none IMAGE sh -c 'cat; readlink /proc/self/fd/0; probe fds'",
      ],
    ],
    ["/dev/null"],
  ),
  run(
    "-t",
    ["/dev/pts/0"],
    ["sh", "-c", "tty; probe fds dev mounts process status; stty -a | head -1; echo to stderr >&2"],
  ),
  run(
    "-t --user 1000",
    ["/dev/pts/0"],
    [
      "sh",
      "-c",
      "tty; stat -c '%a %u %g' /dev/pts/0 /dev/console; echo x > /dev/stderr; echo y > /dev/tty; ps",
    ],
  ),
  run("-t --init", ["/dev/pts/0"], ["sh", "-c", "tty; cat /proc/1/comm"]),
  script(
    "run -ti",
    [
      [
        "sh",
        // When the terminal echoes what the shell has not read yet is a race of the two.
        "printf 'echo typed; exit 3\\n' | podman run --rm -ti --name NAME --network none IMAGE sh > DIR/seen; echo code $?",
      ],
      ["sh", "tr -d '\\r' < DIR/seen | grep -x typed"],
    ],
    ["typed", "code 3"],
  ),
  run("-a stdout", [/^out\n\nexit/m], ["sh", "-c", "echo out; echo err >&2"]),
  run("-a stderr", ["stderr: err"], ["sh", "-c", "echo out; echo err >&2"]),
  run(
    "--user 1000",
    ["through the link"],
    [
      "sh",
      "-c",
      "echo through the link > /dev/stdout; echo also > /dev/stderr; ls -lL /dev/stdout | cut -d' ' -f1",
    ],
  ),
  run("--personality LINUX32", [/exit code/], ["probe", "status"], {
    differs: {
      why: "runc before 1.2 ignores linux.personality",
      from: /^0000000[08]$/gm,
      to: "PERSONALITY",
    },
  }),
  run("--tz Europe/Berlin", [/exit code/], ["sh", "-c", "ls -l /etc/localtime | cut -c1-10"]),
  run("--timezone nonsense", [/exit code/], ["true"]),
  run("--systemd always", [/exit code/], ["probe", "mounts", "env", "tmpfs", "writable"]),
  run(
    "--http-proxy=false --log-driver none --label a=b --annotation c=d --stop-signal USR1",
    ["exit code 0"],
    ["true"],
  ),
  run("--rootfs --no-such", [/exit code 12\d/], ["true"]),
  script(
    "run --rootfs",
    [
      [
        "sh",
        "mkdir -p DIR/root/bin DIR/root/proc; cp /bin/busybox DIR/root/bin; ln -s busybox DIR/root/bin/sh",
      ],
      [
        "run",
        "--rm",
        "--name",
        "NAME",
        "--network",
        "none",
        "--rootfs",
        "DIR/root",
        "/bin/sh",
        "-c",
        "echo from a directory; ls /",
      ],
    ],
    ["from a directory"],
  ),
  script(
    "run --rootfs with an overlay",
    [
      ["sh", "mkdir -p DIR/root/bin; cp /bin/busybox DIR/root/bin; ln -s busybox DIR/root/bin/sh"],
      [
        "run",
        "--rm",
        "--name",
        "NAME",
        "--network",
        "none",
        "--rootfs",
        "DIR/root:O",
        "/bin/sh",
        "-c",
        "echo x > /new; cat /new",
      ],
      ["sh", "ls DIR/root"],
    ],
    [/^x$/m],
  ),
];
