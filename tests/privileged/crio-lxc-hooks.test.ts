import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Config, ContainerLab } from "../support/container-lab.ts";
import { patience } from "../support/slowness.ts";

/** Hooks that run in a container's namespaces: what they see, what they leave, how they fail. */

const FIRST_ID = 100_000;
const NAMESPACES = ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"];
/** cat writes mountinfo in pieces: the end is said. */
const SHOWS_MOUNTS = "cat /mnt/file /written; cat /proc/self/mountinfo; echo that is all; exec sleep 1000";

let lab: ContainerLab;
let notes: string;
beforeAll(() => {
  lab = new ContainerLab();
  notes = join(lab.scratch, "notes");
  mkdirSync(notes);
  mkdirSync(join(lab.bundle, "rootfs/mnt"));
  for (const path of [lab.scratch, lab.bundle]) chmodSync(path, 0o755);
  chmodSync(notes, 0o777);
});
afterAll(() => lab[Symbol.dispose]());

function userNamespace(config: Config): void {
  const map = [{ containerID: 0, hostID: FIRST_ID, size: 1000 }];
  config.linux.namespaces.push({ type: "user" });
  config.linux["uidMappings"] = map;
  config.linux["gidMappings"] = map;
  for (const name of ["", "mnt"]) chownSync(join(lab.bundle, "rootfs", name), FIRST_ID, FIRST_ID);
}

type Hook = { readonly path: string; readonly args?: readonly string[]; readonly timeout?: number };

/** A hook of the host's own shell, which the container's root does not have. */
function script(text: string): Hook {
  const file = join(lab.scratch, `hook-${Bun.hash(text)}`);
  writeFileSync(file, `#!/bin/bash\n${text}\n`);
  chmodSync(file, 0o755);
  return { path: file };
}

function note(name: string): string {
  return readFileSync(join(notes, name), "utf8").trim();
}

function freshNotes(): void {
  rmSync(notes, { recursive: true });
  mkdirSync(notes);
  chmodSync(notes, 0o777);
}

describe.each([
  ["root of the host", (): void => undefined],
  ["root of a user namespace", userNamespace],
] as const)("createContainer hooks, %s", (_name, change) => {
  test("are in the container's namespaces and the runtime's tree; what they mount below the root stays, and nothing else", () => {
    freshNotes();
    const rootfs = join(lab.bundle, "rootfs");
    rmSync(join(rootfs, "written"), { force: true });
    const hook = script(`set -e
cat > ${notes}/state
readlink ${NAMESPACES.map((name) => `/proc/self/ns/${name}`).join(" ")} > ${notes}/namespaces
pwd > ${notes}/pwd
grep -c " ${rootfs}/proc " /proc/self/mountinfo > ${notes}/mounted
mount -t tmpfs hook ${rootfs}/mnt
echo of the hook > ${rootfs}/mnt/file
echo of the hook > ${rootfs}/written
mount -t tmpfs hook /media
touch /media/made`);
    const id = lab.container((config) => {
      change(config);
      config["hooks"] = { createContainer: [hook] };
      config["root"] = { path: "rootfs", readonly: true };
      config.process.args = ["sh", "-c", SHOWS_MOUNTS];
    });
    const out = join(lab.scratch, "out");
    const pidFile = join(lab.scratch, "pid");
    const create = lab.argv("create", "--bundle", lab.bundle, "--pid-file", pidFile, id).join(" ");
    expect(lab.spawn(["sh", "-c", `exec ${create} > ${out}`])).toEqual({ code: 0, stdout: "", stderr: "" });
    const pid = Number(readFileSync(pidFile, "latin1"));
    expect(JSON.parse(note("state"))).toMatchObject({ id, status: "creating", pid: 1, bundle: lab.bundle });
    const own = NAMESPACES.map((name) => readlinkSync(`/proc/${pid}/ns/${name}`));
    expect(note("namespaces").split("\n")).toEqual(own);
    expect(own[0]).not.toBe(readlinkSync("/proc/self/ns/mnt"));
    expect(note("pwd")).toBe(rootfs);
    // The container's own mounts were there.
    expect(note("mounted")).toBe("1");
    expect(existsSync("/media/made")).toBe(false);
    expect(readFileSync("/proc/self/mountinfo", "latin1")).not.toContain(rootfs);
    lab.must("start", id);
    const output = waitFor(out, "\nthat is all\n");
    expect(output).toStartWith("of the hook\nof the hook\n");
    const points = output.split("\n").flatMap((line) => / \/\S* (\/\S*) /.exec(line)?.[1] ?? []);
    expect(points).toContain("/proc");
    expect(points).toContain("/mnt");
    expect(points.filter((point) => point === "/" || /^\/(media|var|run|sys\/kernel)/.test(point))).toEqual([
      "/",
    ]);
    lab.must("delete", "--force", id);
    expect(lab.traces(id)).toEqual([]);
  });
});

test("what hooks of CDI do: links, ld.so.cache, a root of their own in a mount namespace of their own", () => {
  const rootfs = join(lab.bundle, "rootfs");
  chownSync(rootfs, 0, 0);
  mkdirSync(join(rootfs, "lib/cdi"), { recursive: true });
  cpSync(realpathSync("/lib/x86_64-linux-gnu/libc.so.6"), join(rootfs, "lib/cdi/libc.so.6"));
  const hook = script(`set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
ldconfig -r ${rootfs} -C /etc/ld.so.cache /lib/cdi
ln -s libc.so.6 ${rootfs}/lib/cdi/link
unshare --mount sh -ec 'mount --bind ${rootfs} ${rootfs}; cd ${rootfs}; pivot_root . mnt; /bin/busybox umount -l mnt; /bin/sh -c "echo inside > /etc/nested"'`);
  const id = lab.container((config) => {
    config["hooks"] = { createContainer: [hook] };
    config.process.args = [
      "sh",
      "-c",
      "readlink /lib/cdi/link; grep -c /lib/cdi/libc.so.6 /etc/ld.so.cache; cat /etc/nested; ls /mnt",
    ];
  });
  expect(lab.call("run", "--bundle", lab.bundle, id)).toEqual({
    code: 0,
    stdout: "libc.so.6\n1\ninside\n",
    stderr: "",
  });
});

/** A container's start ends before its program has written anything, or has made the file. */
function waitFor(file: string, text: string): string {
  const deadline = Date.now() + patience(60_000);
  for (;;) {
    const found = existsSync(file) ? readFileSync(file, "latin1") : undefined;
    if (found?.includes(text)) return found;
    if (Date.now() > deadline) throw new Error(`${file} holds ${found ?? "nothing: it is not there"}`);
    Bun.sleepSync(20);
  }
}

test("hooks run in the specification's order", () => {
  freshNotes();
  const stages = ["prestart", "createRuntime", "createContainer"] as const;
  const atStart: Hook = {
    path: "/bin/sh",
    args: [
      "sh",
      "-c",
      "echo startContainer >> /mnt/order; cat > /mnt/state; readlink /proc/self/ns/mnt > /mnt/ns",
    ],
  };
  const id = lab.container((config) => {
    config["mounts"] = [
      ...(config["mounts"] as unknown[]),
      { destination: "/mnt", type: "bind", source: notes, options: ["bind"] },
    ];
    config["hooks"] = {
      ...Object.fromEntries(stages.map((stage) => [stage, [script(`echo ${stage} >> ${notes}/order`)]])),
      startContainer: [atStart],
      poststart: [script(`echo poststart >> ${notes}/order`)],
      poststop: [script(`echo poststop >> ${notes}/order`)],
    };
    config.process.args = [
      "sh",
      "-c",
      "echo program >> /mnt/program; cat /mnt/order > /mnt/before; exec sleep 1000",
    ];
  });
  const pid = lab.create(id);
  expect(note("order").split("\n")).toEqual([...stages]);
  lab.must("start", id);
  expect(note("order").split("\n").slice(0, 4)).toEqual([...stages, "startContainer"]);
  expect(JSON.parse(note("state"))).toMatchObject({ id, status: "created", pid: 1 });
  expect(note("ns")).toBe(readlinkSync(`/proc/${pid}/ns/mnt`));
  expect(waitFor(join(notes, "before"), "startContainer")).toStartWith(
    [...stages, "startContainer"].join("\n"),
  );
  lab.must("delete", "--force", id);
  expect(note("order").split("\n")).toEqual([...stages, "startContainer", "poststart", "poststop"]);
});

/** A hook and a program of the container's that write down what binds them. */
const BOUND =
  "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Umask):' /proc/self/status; pwd; ulimit -n; ulimit -f";

/** As the lists of engines do: what is not named is refused. */
const FILTER = {
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrnoRet: 38,
  architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
  syscalls: [
    {
      action: "SCMP_ACT_ALLOW",
      // Neither memfd_create nor pidfd_open nor close_range.
      names: (
        "access arch_prctl brk capget capset chdir chown clone close dup dup2 dup3 execve exit exit_group faccessat fchown fcntl " +
        "fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getgroups getpgrp getpid getppid getrandom getrlimit getuid ioctl " +
        "kill lseek lstat mmap mprotect mremap munmap nanosleep clock_nanosleep newfstatat open openat pipe pipe2 poll ppoll prctl " +
        "pread64 prlimit64 read readlink readv rseq rt_sigaction rt_sigprocmask rt_sigreturn sendmsg set_robust_list " +
        "set_tid_address setgid setgroups setresgid setresuid setuid stat statx sysinfo tgkill umask uname wait4 write writev"
      ).split(" "),
    },
  ],
};

function boundBy(
  noNewPrivileges: boolean,
  hooks: readonly Hook[],
  program: string,
): (config: Config) => void {
  return (config) => {
    config["mounts"] = [
      ...(config["mounts"] as unknown[]),
      { destination: "/mnt", type: "bind", source: notes, options: ["bind"] },
    ];
    config.linux["seccomp"] = FILTER;
    config.process["user"] = { uid: 1000, gid: 1001, additionalGids: [5], umask: 0o27 };
    config.process["capabilities"] = {};
    config.process["cwd"] = "/mnt";
    config.process["rlimits"] = [
      { type: "RLIMIT_NOFILE", soft: 60, hard: 60 },
      { type: "RLIMIT_FSIZE", soft: 4096, hard: 4096 },
    ];
    config.process["noNewPrivileges"] = noNewPrivileges;
    config["hooks"] = { startContainer: hooks };
    config.process.args = ["sh", "-c", program];
  };
}

function inside(script: string, timeout?: number): Hook {
  const hook = { path: "/bin/sh", args: ["sh", "-c", script] };
  return timeout === undefined ? hook : { ...hook, timeout };
}

describe.each([true, false])("startContainer hooks, noNewPrivileges %p", (noNewPrivileges) => {
  test("have what the program has, and no more: the image says what they execute", () => {
    freshNotes();
    const hook = inside(
      `(${BOUND}) > /mnt/hook; cat > /mnt/state; cat /proc/self/comm > /dev/null; ls /proc/self/fd > /mnt/fds`,
    );
    const id = lab.container(boundBy(noNewPrivileges, [hook], `(${BOUND}) > /mnt/program`));
    expect(lab.call("run", "--bundle", lab.bundle, id)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(note("hook")).toBe(note("program"));
    const lines = note("hook").split("\n");
    expect(lines).toContain("Uid:\t1000\t1000\t1000\t1000");
    expect(lines).toContain("Gid:\t1001\t1001\t1001\t1001");
    expect(lines.filter((line) => line.startsWith("Cap"))).toEqual(
      ["Inh", "Prm", "Eff", "Bnd", "Amb"].map((set) => `Cap${set}:\t0000000000000000`),
    );
    expect(lines).toContain("Seccomp:\t2");
    expect(lines).toContain(`NoNewPrivs:\t${noNewPrivileges ? 1 : 0}`);
    expect(lines).toContain("Umask:\t0027");
    expect(lines).toContain("/mnt");
    expect(JSON.parse(note("state"))).toMatchObject({ id, status: "created", pid: 1 });
    // 3 is the directory that ls reads.
    expect(note("fds").split("\n")).toEqual(["0", "1", "2", "3"]);
  });

  test("may write much, read nothing, and leave somebody behind that writes on", () => {
    freshNotes();
    const hooks = [
      inside("i=0; while [ $i -lt 20000 ]; do echo 123456789; i=$((i+1)); done"),
      inside("exec 0<&-; (while sleep 0.1; do echo on; done) & exit 0"),
    ];
    const id = lab.container((config) => {
      boundBy(noNewPrivileges, hooks, "echo ran > /mnt/program")(config);
      // More than fits into a pipe.
      config["annotations"] = { long: "x".repeat(300_000) };
    });
    expect(lab.call("run", "--bundle", lab.bundle, id)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(note("program")).toBe("ran");
  });

  test.each([
    ["their exit code", inside("echo much; echo said >&2; exit 3"), /: exit status 3, output: much; said/],
    ["a signal", inside("kill -KILL $$"), /: ended by signal 9/],
    ["their timeout", inside("exec sleep 100", 1), /: hook ran past specified timeout of 1\.0s/],
    ["their absence", { path: "/no/such/hook" }, /: no such file or directory/],
    [
      "the end of what they wrote",
      inside("i=0; while [ $i -lt 500 ]; do echo no; i=$((i+1)); done; echo last; exit 1"),
      /no; last/,
    ],
  ])("fail by %s: the program does not run", (_how, hook, reason) => {
    freshNotes();
    const id = lab.container(boundBy(noNewPrivileges, [inside("exit 0"), hook], "echo ran > /mnt/program"));
    const answer = lab.call("run", "--bundle", lab.bundle, id);
    expect(answer.code).not.toBe(0);
    expect(answer.stderr).toContain(`error running startContainer hook #1: ${hook.path}`);
    expect(answer.stderr).toMatch(reason);
    expect(existsSync(join(notes, "program"))).toBe(false);
  });
});

describe.each(["prestart", "createRuntime", "createContainer"] as const)("a failing %s hook", (stage) => {
  test.each([
    ["by its exit code", (): Hook => script("echo said >&2; exit 3"), /: exit status 3, .*said/],
    ["by a signal", (): Hook => script("kill -SEGV $$"), /: ended by (SIGSEGV|signal 11)/],
    [
      "by its timeout",
      (): Hook => ({ ...script("exec sleep 100"), timeout: 1 }),
      /: hook ran past specified timeout of 1\.0s/,
    ],
    ["by its absence", (): Hook => ({ path: "/no/such/hook" }), /: .*(no such file|ENOENT)/],
  ])("%s: create says which and why, and leaves nothing", (_how, make, reason) => {
    const hook = make();
    const id = lab.container((config) => {
      config["hooks"] = { [stage]: [{ path: "/bin/true" }, hook] };
    });
    const answer = lab.call("create", "--bundle", lab.bundle, id);
    expect(answer.code).toBe(1);
    expect(answer.stderr).toContain(`error running ${stage} hook #1: ${hook.path}`);
    expect(answer.stderr).toMatch(reason);
    expect(lab.traces(id)).toEqual([]);
  });
});
