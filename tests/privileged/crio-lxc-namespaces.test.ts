import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Answer, type Config, ContainerLab } from "../support/container-lab.ts";
import { patience } from "../support/slowness.ts";

/** Containers in namespaces that not every container has: of users, and a mount namespace that was there before. */

const FIRST_ID = 100_000;
const MAP = [{ containerID: 0, hostID: FIRST_ID, size: 65_536 }];

let lab: ContainerLab;
beforeAll(() => {
  lab = new ContainerLab();
  // Whoever is root in a container must come to the bundle.
  chmodSync(lab.scratch, 0o711);
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

function inUserNamespace(config: Config): void {
  config.linux.namespaces.push({ type: "user" });
  Object.assign(config.linux, {
    uidMappings: MAP,
    gidMappings: MAP,
    maskedPaths: ["/proc/keys", "/sys/firmware"],
  });
}

test("a user namespace: its own proc and sysfs, and nothing left of what the kernel wanted to see first", () => {
  const id = lab.container((config) => {
    inUserNamespace(config);
    const script = "cat /proc/self/uid_map; while read line; do echo $line; done </proc/self/mountinfo";
    config.process.args = ["sh", "-c", script];
  });
  const { code, stdout, stderr } = lab.call("run", "--bundle", lab.bundle, id);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [map, ...mounts] = stdout.trim().split("\n");
  expect(map?.trim().split(/\s+/)).toEqual(["0", String(FIRST_ID), "65536"]);
  const points = mounts.map((line) => ({
    at: line.split(" ")[4],
    type: line.split(" - ")[1]?.split(" ")[0],
  }));
  expect(points.filter(({ at }) => at === "/").length).toBe(1);
  expect(points.filter(({ type }) => type === "proc").every(({ at }) => at?.startsWith("/proc"))).toBe(true);
  expect(points.filter(({ type }) => type === "sysfs").map(({ at }) => at)).toEqual(["/sys"]);
});

test("in a user namespace the OOM score is what it would be without", () => {
  const scoreOf = (score: number, ...changes: readonly ((config: Config) => void)[]): string => {
    const id = lab.container((config) => {
      for (const change of changes) change(config);
      config.process.args = ["cat", "/proc/self/oom_score_adj"];
      config.process["oomScoreAdj"] = score;
    });
    return lab.must("run", "--bundle", lab.bundle, id);
  };
  expect(scoreOf(300, inUserNamespace)).toBe("300\n");
  expect(scoreOf(-500, inUserNamespace)).toBe(scoreOf(-500));
});

test("a user namespace opens the way through the state directory, and nothing in it", () => {
  const id = lab.container(inUserNamespace);
  lab.create(id);
  const state = join(lab.root, id);
  const files = ["state.json", "config.json", "start.sock", "lxc.conf"];
  expect(files.map((name) => statSync(join(state, name)).mode & 0o77)).toEqual([0, 0, 0, 0]);
  expect(statSync(state).mode & 0o777).toBe(0o711);
  lab.must("delete", "--force", id);
  expect(existsSync(state)).toBe(false);
});

test("sysctls of the host's network namespace are refused, whether it is left out (as for Kubernetes' hostNetwork) or given by path", () => {
  const file = "/proc/sys/net/ipv4/conf/lo/tag";
  const before = readFileSync(file, "latin1").trim();
  const setting = (change: (config: Config) => void): Answer => {
    const id = lab.container((config) => {
      config.process.args = ["true"];
      config.linux["sysctl"] = { "net.ipv4.conf.lo.tag": String(Number(before) + 1) };
      config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "network");
      change(config);
    });
    return lab.call("run", "--bundle", lab.bundle, id);
  };
  const byPath = (path: string) => (config: Config) =>
    config.linux.namespaces.push({ type: "network", path });
  const answers = [
    setting(() => undefined),
    ...["self", process.pid].map((pid) => setting(byPath(`/proc/${pid}/ns/net`))),
  ];
  const after = readFileSync(file, "latin1").trim();
  if (after !== before) writeFileSync(file, before);
  expect(after).toBe(before);
  for (const { code, stderr } of answers) {
    expect(stderr).toMatch(/linux\.sysctl\.net\.ipv4\.conf\.lo\.tag .*it would change the host/);
    expect(code).toBe(1);
  }
  expect(setting((config) => config.linux.namespaces.push({ type: "network" }))).toEqual({
    code: 0,
    stdout: "",
    stderr: "",
  });
});

test("a mount namespace that was there before is joined, and the host's is refused", async () => {
  const script = "echo ready; exec sleep 1000";
  const other = Bun.spawn(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], {
    stdout: "pipe",
  });
  await other.stdout.getReader().read();
  const joining = (path: string) => (config: Config) => {
    for (const namespace of config.linux.namespaces) if (namespace.type === "mount") namespace.path = path;
  };
  const path = `/proc/${other.pid}/ns/mnt`;
  const { id, pid } = lab.running(joining(path));
  expect(statSync(`/proc/${pid}/ns/mnt`).ino).toBe(statSync(path).ino);
  expect(lab.must("exec", id, "ls", "/")).toBe(lab.must("exec", id, "ls", `/proc/1/root`));
  lab.must("delete", "--force", id);
  expect(lab.traces(id)).toEqual([]);
  other.kill("SIGKILL");
  await other.exited;

  const hosts = lab.container(joining(`/proc/${process.pid}/ns/mnt`));
  const refused = lab.call("create", "--bundle", lab.bundle, hosts);
  expect(refused).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining("host's mount namespace"),
  });
  expect(lab.traces(hosts)).toEqual([]);
});
