import { expect, test } from "bun:test";
import { checkNamespace } from "./namespace.ts";

test.each(["mount", "cgroup", "uts", "ipc", "user", "network"] as const)("%p", (type) => {
  const name = { mount: "mnt", network: "net", cgroup: "cgroup", uts: "uts", ipc: "ipc", user: "user" }[type];
  checkNamespace(`/proc/self/ns/${name}`, type);
  expect(() => checkNamespace(`/proc/self/ns/${name}`, "pid")).toThrow(/is no pid namespace/);
});

test("what is no namespace at all", () => {
  expect(() => checkNamespace("/etc/passwd", "pid")).toThrow(/is no pid namespace/);
  expect(() => checkNamespace("/none", "pid")).toThrow(/ENOENT/);
});
