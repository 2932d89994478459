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
    [["--debug=true", "state", "ID"], { verb: "state" }],
    [["--debug", "--debug=false", "state", "ID"], { verb: "state" }],
    [["run", "-db/x", "ID"], { verb: "run", detach: true, bundle: "/x" }],
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
  [["delete", "--force=yes", "ID"], /'--force' takes no value/],
  [["delete", "-x", "ID"], /Unknown option '-x'/],
  [["create", "--bundle"], /'--bundle' wants a value/],
  [["run", "-db"], /'-b' wants a value/],
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
  [["list", "-f", "xml"], /--format is table or json/],
  [["events", "--interval", "0s", "ID"], /--interval wants a time/],
  [["toString"], /unknown command/],
])("%p is refused", (argv, message) => {
  expect(() => parseInvocation(argv)).toThrow(message);
});

test("--root may be relative to where the caller is", () => {
  expect(parseInvocation(["--root", "state-directory", "list"]).global.root).toBe(resolve("state-directory"));
});

test("where to complain is known even if the rest is wrong", () => {
  expect(logTarget("--log /l --log-format=json --nope".split(" "))).toEqual({ log: "/l", logFormat: "json" });
  expect(logTarget(["--nope"])).toEqual({ log: undefined, logFormat: "text" });
});
