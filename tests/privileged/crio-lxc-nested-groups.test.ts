import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ContainerLab } from "../support/container-lab.ts";
import { patience } from "../support/slowness.ts";

/** A container that makes groups in its own cannot make itself undeletable. */

let lab: ContainerLab;
beforeAll(() => {
  lab = new ContainerLab();
}, patience(300_000));
afterAll(() => lab[Symbol.dispose]());

/** Makes groups in each other, each by a short name from where it is, and lives in the innermost. */
const NEST = `cd $(ls -d /sys/fs/cgroup/pids /sys/fs/cgroup 2>/dev/null | head -n 1) || exit 1
i=0
while [ $i -lt COUNT ]; do busybox mkdir NAME && cd -P NAME 2>/dev/null || exit 2; i=$((i+1)); done
sleep 1000 &
echo $! > cgroup.procs || exit 3
echo done > /tmp/done
exec sleep 1000`;

test.each([
  ["many", 300, "g"],
  ["deeper than a path can say", 45, "g".repeat(200)],
])(
  "groups in each other, %s: they are listed and removed",
  async (_what, count, name) => {
    const id = lab.container((config) => {
      config["root"] = { path: "rootfs", readonly: false };
      if (!config.linux.namespaces.some(({ type }) => type === "cgroup"))
        config.linux.namespaces.push({ type: "cgroup" });
      config["mounts"] = [
        ...(config["mounts"] as { destination: string }[]).filter(
          ({ destination }) => destination !== "/sys/fs/cgroup",
        ),
        { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["rw"] },
      ];
      config.process.args = ["sh", "-c", NEST.replaceAll("COUNT", String(count)).replaceAll("NAME", name)];
    });
    lab.create(id);
    lab.must("start", id);
    const done = join(lab.bundle, "rootfs/tmp/done");
    while (!existsSync(done)) {
      if (lab.status(id) !== "running") throw new Error("the container ended");
      await Bun.sleep(50);
    }
    Bun.spawnSync(["rm", done]);
    expect(JSON.parse(lab.must("ps", "--format", "json", id)).length).toBe(2);
    expect(await lab.callReaping("delete", "--force", id)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(lab.traces(id)).toEqual([]);
  },
  patience(120_000),
);
