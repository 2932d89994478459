import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** The DaemonSet's shell script, with an atomfs, a kubectl and a node's namespaces that only write down what they were asked. */

let work = "";

function program(name: string, text: string): void {
  const path = join(work, "node", name);
  writeFileSync(path, `#!/bin/sh\necho "${name} $*" >>'${work}/calls'\n${text}\n`);
  chmodSync(path, 0o755);
}

beforeEach(() => {
  work = mkdtempSync("/var/tmp/atomfs-node-script-");
  mkdirSync(join(work, "node"));
  mkdirSync(join(work, "host/run/crio-lxc"), { recursive: true });
  cpSync(join(import.meta.dir, "../deploy/image/atomfs-node"), join(work, "node/atomfs-node"));
  program("nsenter", "");
  program("ln", "");
});

afterEach(() => rmSync(work, { recursive: true, force: true }));

const hasSystemd = (): unknown => mkdirSync(join(work, "host/run/systemd/system"), { recursive: true });

function start(verb: string, interval = "60"): Bun.Subprocess<"ignore", "ignore", "pipe"> {
  return Bun.spawn([join(work, "node/atomfs-node"), verb], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: {
      PATH: `${work}/node:/usr/bin:/bin`,
      HOST: join(work, "host"),
      NODE_NAME: "n1",
      NAMESPACE: "kube-system",
      DAEMONSET: "atomfs",
      INTERVAL: interval,
      STOP_SECONDS: "1",
    },
  });
}

const calls = (): string[] =>
  existsSync(join(work, "calls")) ? readFileSync(join(work, "calls"), "utf8").trim().split("\n") : [];
const callsOf = (name: string): string[] => calls().filter((line) => line.startsWith(`${name} `));

const SAID = (action: string): string => `cat <<'EOF'
${action.padEnd(9)}  /etc/crio/crio.conf.d/50-atomfs.conf

installed; next:
  systemctl daemon-reload && systemctl start atomfs-gc.timer
  systemctl restart crio
  a RuntimeClass with the handler crio-lxc
EOF`;

describe("install", () => {
  test.each([
    ["make", true, 2],
    ["replace", true, 2],
    ["unchanged", true, 0],
    ["make", false, 0],
    ["remove", true, 2],
  ] as const)("that says %s, systemd %p: %d commands on the node", async (action, isBooted, number) => {
    if (isBooted) hasSystemd();
    program("atomfs", SAID(action));
    expect(await start("install").exited).toBe(0);
    expect(callsOf("atomfs")).toEqual([
      `atomfs install --crio --no-report --programs ${work}/node --destdir ${work}/host`,
    ]);
    expect(callsOf("nsenter")).toEqual(
      ["systemctl daemon-reload && systemctl start atomfs-gc.timer", "systemctl restart crio"]
        .map((line) => `nsenter -t 1 -m -- sh -c   ${line}`)
        .slice(0, number),
    );
  });

  const FAILS_ONCE = (line: number): string =>
    `[ "$(grep -c nsenter '${work}/calls')" != ${line} ] || { echo 'no bus' >&2; exit 1; }`;

  test.each([1, 2])(
    "command %d on the node fails: the pod, too, and the next one does it all",
    async (failing) => {
      hasSystemd();
      program("atomfs", SAID("make"));
      program("nsenter", FAILS_ONCE(failing));
      expect(await start("install").exited).not.toBe(0);
      expect(callsOf("nsenter")).toHaveLength(failing);
      // The files are there by now.
      program("atomfs", SAID("unchanged"));
      expect(await start("install").exited).toBe(0);
      expect(callsOf("nsenter").slice(failing)).toEqual([
        "nsenter -t 1 -m -- sh -c   systemctl daemon-reload && systemctl start atomfs-gc.timer",
        "nsenter -t 1 -m -- sh -c   systemctl restart crio",
      ]);
      expect(await start("install").exited).toBe(0);
      expect(callsOf("nsenter")).toHaveLength(failing + 2);
    },
  );

  test("that is killed when the files are there is finished by the next one", async () => {
    hasSystemd();
    program("atomfs", `kill -KILL $PPID`);
    await start("install").exited;
    program("atomfs", SAID("unchanged"));
    expect(await start("install").exited).toBe(0);
    expect(callsOf("nsenter")).toHaveLength(2);
  });

  test("that fails is the pod's failure", async () => {
    program("atomfs", "exit 3");
    expect(await start("install").exited).toBe(3);
  });
});

describe("a pod that ends", () => {
  test.each([
    ["the DaemonSet is there", "echo atomfs/", false],
    ["it is gone", "true", true],
    ["it is being deleted", "echo atomfs/2026-11-24T00:00:00Z", true],
    ["nobody answers", "exit 1", false],
  ])("%s", async (_, answer, isRemoved) => {
    program("atomfs", "");
    program("kubectl", answer);
    const child = start("run");
    while (callsOf("atomfs").length === 0 && child.exitCode === null) await Bun.sleep(20);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(callsOf("kubectl")).toHaveLength(1);
    expect(callsOf("atomfs").slice(1)).toEqual(
      isRemoved ? [`atomfs uninstall --destdir ${work}/host`, "atomfs report --remove --node n1"] : [],
    );
  });

  test.each([
    ["hangs", "exec sleep 600"],
    ["hangs and does not listen", "trap '' TERM; exec sleep 600"],
  ])("while a report %s removes all the same", async (_, hang) => {
    program("atomfs", `[ "$*" = 'report --node n1' ] || exit 0; ${hang}`);
    program("kubectl", "true");
    const child = start("run");
    while (callsOf("atomfs").length === 0 && child.exitCode === null) await Bun.sleep(20);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(callsOf("atomfs")).toContain(`atomfs uninstall --destdir ${work}/host`);
  });

  test("asks the node's systemd, and a report that cannot be taken back is said", async () => {
    hasSystemd();
    program(
      "atomfs",
      `case "$*" in *--remove*) exit 6 ;; uninstall*) echo '  systemctl stop atomfs-gc.timer' ;; esac`,
    );
    program("kubectl", "true");
    const child = start("run");
    while (callsOf("atomfs").length === 0 && child.exitCode === null) await Bun.sleep(20);
    child.kill("SIGTERM");
    expect(await new Response(child.stderr).text()).toContain("the Node's condition stays (exit code 6)");
    expect(await child.exited).toBe(0);
    expect(callsOf("nsenter")).toEqual(["nsenter -t 1 -m -- sh -c   systemctl stop atomfs-gc.timer"]);
  });

  test("a report that fails is said, and does not end the pod", async () => {
    program("atomfs", '[ "$1" = report ] && exit 6; true');
    program("kubectl", "echo atomfs/");
    const child = start("run", "0.1");
    while (callsOf("atomfs").length < 2 && child.exitCode === null) await Bun.sleep(20);
    expect(child.exitCode).toBeNull();
    child.kill("SIGTERM");
    expect(await new Response(child.stderr).text()).toContain("no report (exit code 6)");
    expect(await child.exited).toBe(0);
  });
});
