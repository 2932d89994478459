import { expect, test } from "bun:test";
import { ownGroups } from "./attach-ahead.ts";

test("pure v2, and v1 with paths that hold colons", () => {
  expect(ownGroups("0::/system.slice/crio.service\n")).toEqual([
    "/sys/fs/cgroup/system.slice/crio.service",
    "/sys/fs/cgroup/unified/system.slice/crio.service",
  ]);
  expect(ownGroups("2:cpu,cpuacct:/a:b\n1:name=systemd:/\n")).toEqual([
    "/sys/fs/cgroup/cpu,cpuacct/a:b",
    "/sys/fs/cgroup/name=systemd/",
  ]);
  expect(ownGroups("")).toEqual([]);
});
