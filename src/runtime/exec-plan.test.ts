import { describe, expect, test } from "bun:test";
import { parseProcess, parseRuntimeConfig } from "../formats/oci/runtime-config/parse.ts";
import { parseInvocation } from "./argv.ts";
import { commandProcess, withContainers } from "./exec-plan.ts";
import type { ExecOptions } from "./invocation.ts";
import { scalarDocument } from "./verbs/update.ts";

const config = parseRuntimeConfig(
  Buffer.from(
    JSON.stringify({
      ociVersion: "1.0.2",
      process: {
        terminal: true,
        args: ["init"],
        env: ["A=1"],
        cwd: "/work",
        user: { uid: 7, gid: 8, additionalGids: [9] },
        capabilities: { bounding: ["CAP_KILL"], inheritable: ["CAP_KILL"] },
      },
      root: { path: "rootfs" },
    }),
  ),
);

function options(line: string): ExecOptions {
  const { invocation } = parseInvocation(["exec", ...line.split(" ")]);
  if (invocation.verb !== "exec") throw new Error(`not exec: ${invocation.verb}`);
  return invocation;
}

describe("exec of a command line", () => {
  test("is the container's process with another command", () => {
    expect(commandProcess(config, options("ID ls -l"))).toMatchObject({
      terminal: false,
      args: ["ls", "-l"],
      env: ["A=1"],
      cwd: "/work",
      user: { uid: 7, gid: 8, additionalGids: [9] },
    });
  });

  test("without a command is refused", () => {
    expect(() => commandProcess(config, options("ID"))).toThrow(/needs a command or --process/);
  });

  test("with what its options say", () => {
    const line = "-t -e B=2 -e C=3 --cwd / -u 5:6 -g 10 -c CAP_CHOWN --no-new-privs ID ls";
    expect(commandProcess(config, options(line))).toMatchObject({
      terminal: true,
      env: ["A=1", "B=2", "C=3"],
      cwd: "/",
      user: { uid: 5, gid: 6, additionalGids: [9, 10] },
      noNewPrivileges: true,
      capabilities: {
        bounding: ["CAP_KILL", "CAP_CHOWN"],
        effective: ["CAP_CHOWN"],
        permitted: ["CAP_CHOWN"],
        inheritable: ["CAP_KILL"],
        ambient: [],
      },
    });
    expect(commandProcess(config, options("-u 5 ID ls")).user).toMatchObject({ uid: 5, gid: 8 });
  });

  test.each(["root", "", "-1", "5:", ":5", "5:x", "5 ", "4294967295", "0x0", "5:6:7"])(
    "the user %p is refused, never taken for 0",
    (user) => {
      expect(() => commandProcess(config, { ...options("ID ls"), user })).toThrow(/--user wants UID/);
    },
  );
});

describe("exec of a document", () => {
  const document = (fields: object) =>
    parseProcess(Buffer.from(JSON.stringify({ args: ["true"], cwd: "/", ...fields })));
  const confined = parseRuntimeConfig(
    Buffer.from(
      JSON.stringify({
        ociVersion: "1.0.2",
        process: {
          args: ["init"],
          cwd: "/work",
          env: ["A=1"],
          user: { uid: 7, gid: 8, umask: 0o77 },
          capabilities: { bounding: ["CAP_KILL"] },
          rlimits: [{ type: "RLIMIT_CORE", soft: 1, hard: 2 }],
          noNewPrivileges: true,
          apparmorProfile: "confined",
          selinuxLabel: "label",
          oomScoreAdj: 900,
        },
      }),
    ),
  );

  test("has the container's own where it says nothing of how it is confined", () => {
    expect(withContainers(document({}), confined)).toMatchObject({
      args: ["true"],
      cwd: "/",
      env: [],
      user: { uid: 0, gid: 0, umask: undefined },
      capabilities: { bounding: ["CAP_KILL"] },
      rlimits: [{ type: "RLIMIT_CORE", soft: 1n, hard: 2n }],
      noNewPrivileges: false,
      apparmorProfile: "confined",
      selinuxLabel: "label",
      oomScoreAdj: 900,
    });
  });

  test("what it says counts, also if that is nothing", () => {
    const says = {
      user: { uid: 1, gid: 2, umask: 0 },
      capabilities: {},
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 5, hard: 6 }],
      apparmorProfile: "unconfined",
      selinuxLabel: "other",
      oomScoreAdj: 0,
    };
    expect(withContainers(document(says), confined)).toMatchObject({
      user: { umask: 0 },
      capabilities: { bounding: [], effective: [] },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 5n, hard: 6n }],
      apparmorProfile: "unconfined",
      selinuxLabel: "other",
      oomScoreAdj: 0,
    });
  });
});

describe("limits on the command line", () => {
  test.each([
    [{}, "{}"],
    [{ memory: "512m", "memory-swap": "-1" }, '{"memory":{"limit":536870912,"swap":-1}}'],
    [{ memory: "9223372036854775807" }, '{"memory":{"limit":9223372036854775807}}'],
    [{ "cpu-share": "5", "cpuset-cpus": "0-1" }, '{"cpu":{"shares":5,"cpus":"0-1"}}'],
    [
      { "pids-limit": "20", "kernel-memory": "1m", "kernel-memory-tcp": "-1" },
      '{"pids":{"limit":20},"memory":{"kernel":1048576,"kernelTCP":-1}}',
    ],
  ] as const)("%p", (scalars, text) => {
    expect(scalarDocument(new Map(Object.entries(scalars)) as ReadonlyMap<"memory", string>)).toBe(text);
  });

  test.each(["", "x", "1}", "1,", "1.5", "--1", "1mm"])("%p is refused", (text) => {
    expect(() => scalarDocument(new Map([["memory", text] as const]))).toThrow(/--memory wants a number/);
  });
});
