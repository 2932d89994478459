import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync } from "node:fs";
import { type Config, ContainerLab } from "../support/container-lab.ts";

/** /sys/fs/cgroup of containers without a cgroup namespace: on the machine's own layout, and with cgroup v2 alone. */

const FIRST_ID = 100_000;
/** A mount namespace in which the machine has cgroup v2 and nothing else. */
const UNIFIED = 'umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"';

let lab: ContainerLab;
beforeAll(() => {
  lab = new ContainerLab();
  for (const path of [lab.scratch, lab.bundle]) chmodSync(path, 0o755);
});
afterAll(() => lab[Symbol.dispose]());

function withoutCgroupNamespace(id: string, script: string) {
  return (config: Config): void => {
    config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "cgroup");
    config.linux["cgroupsPath"] = `/atomfs-test-${process.pid}-${id}`;
    config.process.args = ["sh", "-c", script];
  };
}

function inUserNamespace(config: Config): void {
  const map = [{ containerID: 0, hostID: FIRST_ID, size: 1000 }];
  config.linux.namespaces.push({ type: "user" });
  config.linux["uidMappings"] = map;
  config.linux["gidMappings"] = map;
  chownSync(`${lab.bundle}/rootfs`, FIRST_ID, FIRST_ID);
}

function run(change: (config: Config) => void, before: readonly string[]): string {
  const id = lab.container(change);
  const { code, stdout, stderr } = lab.spawn([...before, ...lab.argv("run", "--bundle", lab.bundle, id)]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect([...lab.traces(id), ...lab.traces(`atomfs-test-${process.pid}-`)]).toEqual([]);
  return stdout;
}

const UNSHARED = ["unshare", "--mount", "--propagation", "private", "sh", "-c", UNIFIED, "sh"];

describe.each([
  ["root of the host", (): void => undefined],
  ["root of a user namespace", inUserNamespace],
] as const)("without a cgroup namespace, %s", (_name, change) => {
  test("on cgroup v2 alone, all of the host's control groups are seen, and the container's is where the kernel says", () => {
    const output = run((config) => {
      withoutCgroupNamespace(
        "two",
        'sed -n s/^0:://p /proc/self/cgroup; cat /sys/fs/cgroup"$(sed -n s/^0:://p /proc/self/cgroup)"/cgroup.procs; touch /sys/fs/cgroup/x 2>/dev/null || echo refused',
      )(config);
      change(config);
    }, UNSHARED);
    // The shell and cat, by their numbers in the container's PID namespace.
    expect(output).toMatch(new RegExp(`^/atomfs-test-${process.pid}-two\n1\n[0-9]+\nrefused\n$`));
  });

  test("on the machine's own layout, its init is in what is mounted there", () => {
    const output = run((config) => {
      withoutCgroupNamespace(
        "own",
        "cat /proc/self/cgroup; for d in /sys/fs/cgroup /sys/fs/cgroup/*; do grep -qsx 1 $d/cgroup.procs && echo in $d; grep -qsx 1 $d/atomfs-test-*-own/cgroup.procs && echo in $d; done; :",
      )(config);
      change(config);
    }, []);
    const lines = output.trim().split("\n");
    const kernels = lines.filter((line) => !line.startsWith("in "));
    for (const line of kernels) expect(line).toEndWith(`:/atomfs-test-${process.pid}-own`);
    expect(lines.filter((line) => line.startsWith("in ")).length).toBeGreaterThan(0);
  });
});
