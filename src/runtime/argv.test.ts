import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { logTarget, parseInvocation } from "./argv.ts";

describe("what engines call", () => {
  test("conmon: create", () => {
    const words = "--systemd-cgroup create --bundle /b --pid-file /p --no-pivot --console-socket /s ID";
    const { global, invocation } = parseInvocation(words.split(" "));
    expect(global.cgroupManager).toBe("systemd");
    expect(invocation).toMatchObject({
      verb: "create",
      id: "ID",
      bundle: "/b",
      pidFile: "/p",
      consoleSocket: "/s",
      noPivot: true,
    });
  });

  test("conmon-rs: root twice, values after =, exec with a command", () => {
    const words = "--root=/a/ --root=/a exec -d --tty --pid-file=/p ID ls -l --all".split(" ");
    const { global, invocation } = parseInvocation(words);
    expect(global.root).toBe("/a");
    expect(invocation).toMatchObject({
      verb: "exec",
      id: "ID",
      detach: true,
      tty: true,
      command: ["ls", "-l", "--all"],
    });
  });

  test("containerd: log options, exec with a file, update from stdin", () => {
    const prefix = "--root /r --log /l --log-format json".split(" ");
    const exec = parseInvocation([...prefix, ..."exec --process /f --detach --pid-file /p ID".split(" ")]);
    expect(exec.global).toMatchObject({ root: "/r", log: "/l", logFormat: "json" });
    expect(exec.invocation).toMatchObject({ processFile: "/f", command: undefined });
    const update = parseInvocation([...prefix, "update", "--resources=-", "ID"]);
    expect(update.invocation).toMatchObject({ verb: "update", resources: "-", id: "ID" });
  });

  test.each([
    [["kill", "ID"], { signal: 15, all: false }],
    [["kill", "ID", "KILL"], { signal: 9 }],
    [["kill", "--all", "ID", "9"], { signal: 9, all: true }],
    [["kill", "-a", "ID", "SIGUSR1"], { signal: 10, all: true }],
    [["delete", "--force", "ID"], { force: true }],
    [["delete", "-f", "ID"], { force: true }],
    [["ps", "--format", "json", "ID"], { format: "json" }],
    [["ps", "ID", "-o", "pid"], { psArguments: ["-o", "pid"] }],
    [["events", "--interval=250ms", "ID"], { intervalMs: 250, once: false }],
    [["events", "--interval", "1m30s", "ID"], { intervalMs: 90_000 }],
    [["events", "--interval", "1.5s", "ID"], { intervalMs: 1500 }],
    [["events", "--interval", "+1h.5m2.s3ms4us", "ID"], { intervalMs: 3_632_003.004 }],
    [["--debug=true", "state", "ID"], { verb: "state" }],
    [["--debug", "--debug=false", "state", "ID"], { verb: "state" }],
    [["create", "-b=/x", "ID"], { bundle: "/x" }],
    [["create", "-b", "/x", "ID"], { bundle: "/x" }],
    [["create", "--b", "/x", "ID"], { bundle: "/x" }],
    [["create", "-bundle", "/x", "ID"], { bundle: "/x" }],
    [["create", "-bundle=/x", "ID"], { bundle: "/x" }],
    [["create", "-bundle=", "ID"], { bundle: "" }],
    [["run", "-d", "-b", "-d", "ID"], { detach: true, bundle: "-d" }],
    [["run", "ID", "--detach=T"], { detach: true }],
    [["run", "--detach", "-detach=0", "ID"], { detach: false }],
    [["exec", "ID", "true"], { noNewPrivileges: undefined, tty: undefined }],
    [["exec", "--no-new-privs=false", "-t=FALSE", "ID", "true"], { noNewPrivileges: false, tty: false }],
    [["exec", "-e", "A=1", "-env=B=2", "ID", "true"], { env: ["A=1", "B=2"] }],
    [["--rootless", "auto", "-log-level", "warn", "state", "ID"], { verb: "state" }],
    [["exec", "-e", "-A=1", "--", "ID", "-x"], { id: "ID", env: ["-A=1"], command: ["-x"] }],
    [["exec", "ID", "--", "-x"], { command: ["--", "-x"] }],
    [["checkpoint"], undefined],
    [["-v"], { verb: "version" }],
    [["create", "--help"], { verb: "help", of: "create" }],
    [[], { verb: "help" }],
  ])("%p", (argv, expected) => {
    if (expected === undefined) expect(() => parseInvocation(argv)).toThrow(/unknown command/);
    else expect(parseInvocation(argv).invocation).toMatchObject(expected);
  });
});

test.each([
  [["--nope", "state", "ID"], /--nope/],
  [["state", "--nope", "ID"], /state: .*--nope/],
  [["state", "--force=yes"], /Unknown option '--force'/],
  [["delete", "--force=yes", "ID"], /'--force' is true or false, not "yes"/],
  [["delete", "-x", "ID"], /Unknown option '-x'/],
  [["delete", "--force=", "ID"], /'--force' is true or false, not ""/],
  [["create", "--bundle"], /'--bundle' wants a value/],
  [["create", "-b"], /'-b' wants a value/],
  [["run", "-db", "ID"], /Unknown option '-db'/],
  [["run", "-b/x", "ID"], /Unknown option '-b\/x'/],
  [["run", "---detach", "ID"], /'---detach' is no option/],
  [["run", "-=x", "ID"], /'-=x' is no option/],
  [["state"], /needs a container's id/],
  [["state", "a", "b"], /unexpected argument "b"/],
  [["state", "../x"], /invalid container id format/],
  [["state", "."], /invalid container id format/],
  [["state", ""], /invalid container id format/],
  [["state", "a/b"], /invalid container id format/],
  [["delete", ".del-x@1"], /invalid container id format/],
  [["kill", "ID", "NOPE"], /unknown signal "NOPE"/],
  [["create", "--preserve-fds", "-1", "ID"], /preserve-fds/],
  [["exec", "--additional-gids", "4294967296", "ID", "ls"], /--additional-gids wants a number/],
  [["--log-format", "xml", "list"], /--log-format is text or json/],
  [["--cgroup-manager", "nope", "list"], /--cgroup-manager/],
  [["--cgroup-manager", "disabled", "list"], /--cgroup-manager disabled is not implemented/],
  [["--log-level", "loud", "list"], /--log-level is .*, not "loud"/],
  [["--rootless", "maybe", "list"], /--rootless is true, false or auto, not "maybe"/],
  [["spec", "--rootless"], /--rootless is not implemented/],
  [["list", "-f", "xml"], /--format is table or json/],
  ...["0s", "0", "-1s", "1", "s", "1.s.", ".s", "1d", "1s ", "", "9999999999h"].map(
    (text): [string[], RegExp] => [["events", "--interval", text, "ID"], /--interval wants a time/],
  ),
  [["toString"], /unknown command/],
])("%p is refused", (argv, message) => {
  expect(() => parseInvocation(argv)).toThrow(message);
});

test.each([
  [[], "info"],
  [["--log-level", "warn"], "warning"],
  [["--log-level=trace"], "debug"],
  [["--log-level", "error", "--debug"], "debug"],
  [["--log-level", "off"], "error"],
])("%p shows what is as bad as %p", (words, level) => {
  expect(parseInvocation([...words, "list"]).global.logLevel).toBe(level as "info");
});

test("--root may be relative to where the caller is", () => {
  expect(parseInvocation(["--root", "state-directory", "list"]).global.root).toBe(resolve("state-directory"));
});

test("where to complain is known even if the rest is wrong", () => {
  expect(logTarget("--log /l --log-format=json --nope".split(" "))).toEqual({ log: "/l", logFormat: "json" });
  expect(logTarget("-log=/l -log-format json --nope".split(" "))).toEqual({ log: "/l", logFormat: "json" });
  expect(logTarget(["--nope"])).toEqual({ log: undefined, logFormat: "text" });
});

test("what the container's command is told names no log", () => {
  const quiet = { log: undefined, logFormat: "text" as const };
  expect(logTarget("exec ID program --log /etc/passwd --log-format json".split(" "))).toEqual(quiet);
  expect(logTarget("--root --log /r exec ID".split(" "))).toEqual(quiet);
  expect(logTarget("--debug -- --log /l".split(" "))).toEqual(quiet);
});
