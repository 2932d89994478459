import { expect, test } from "bun:test";
import { checkNamespace, isHostNamespace, isOwnNamespace } from "./namespace.ts";

test.each(["mount", "cgroup", "uts", "ipc", "user", "network"] as const)("%p", (type) => {
  const name = { mount: "mnt", network: "net", cgroup: "cgroup", uts: "uts", ipc: "ipc", user: "user" }[type];
  checkNamespace(`/proc/self/ns/${name}`, type);
  expect(() => checkNamespace(`/proc/self/ns/${name}`, "pid")).toThrow(/is no pid namespace/);
});

test("one's own and another process's", async () => {
  expect(isOwnNamespace(`/proc/${process.ppid}/ns/uts`, "uts")).toBe(true);
  await using child = Bun.spawn(["unshare", "--uts", "sh", "-c", "echo; exec sleep 1000"], {
    stdout: "pipe",
  });
  await child.stdout.getReader().read();
  expect(isOwnNamespace(`/proc/${child.pid}/ns/uts`, "uts")).toBe(false);
  expect(isOwnNamespace(`/proc/${child.pid}/ns/net`, "network")).toBe(true);
  child.kill(9);
});

test("what is no namespace at all", () => {
  expect(() => checkNamespace("/etc/passwd", "pid")).toThrow(/is no pid namespace/);
  expect(() => checkNamespace("/none", "pid")).toThrow(/ENOENT/);
});

test("the host's namespace, by whatever path", async () => {
  for (const pid of ["self", process.pid, process.ppid]) {
    expect(isHostNamespace(`/proc/${pid}/ns/mnt`, "mount")).toBe(true);
    expect(isHostNamespace(`/proc/${pid}/ns/net`, "network")).toBe(true);
  }
  const other = Bun.spawn(["unshare", "--mount", "--uts", "sh", "-c", "echo ready; exec sleep 60"], {
    stdout: "pipe",
  });
  await other.stdout.getReader().read();
  expect(isHostNamespace(`/proc/${other.pid}/ns/mnt`, "mount")).toBe(false);
  expect(isHostNamespace(`/proc/${other.pid}/ns/uts`, "uts")).toBe(false);
  expect(isHostNamespace(`/proc/${other.pid}/ns/net`, "network")).toBe(true);
  other.kill("SIGKILL");
  await other.exited;
});
