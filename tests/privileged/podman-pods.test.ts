import { afterAll, beforeAll, describe, expect } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type CgroupManager, writePodmanConfig } from "../../scripts/demo/podman-config.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";
import { testUnless } from "../support/needs.ts";
import { patience } from "../support/slowness.ts";

/*
 * Pods of Podman 4.3 under runc, the control, and under crio-lxc, by both of Podman's cgroup managers.
 */

const REPOSITORY = join(import.meta.dir, "../..");
const IMAGE = "localhost/pods:1";
const LIMIT_MS = 120_000;
const RUNTIMES = ["runc", join(REPOSITORY, "dist/crio-lxc")] as const;

const onlyV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");
const hasSystemd = readFileSync("/proc/1/comm", "utf8") === "systemd\n";

let place = "";

type Podman = (...args: string[]) => Promise<{ readonly code: number; readonly text: string }>;

async function podmanOf(manager: CgroupManager, runtime: string): Promise<Podman> {
  const directory = join(place, manager);
  mkdirSync(directory, { recursive: true });
  const conf = await writePodmanConfig({
    directory,
    imageStores: [],
    runtime: { name: "crio-lxc", path: RUNTIMES[1] },
    cgroupManager: manager,
    subnet: "10.89.186.0/24",
    bridge: "atomfs-pods0",
  });
  return async (...args) => {
    const { code, stdout, stderr } = await run(["podman", "--runtime", runtime, ...args], {
      env: { ...process.env, ...conf, ATOMFS_ROOT: join(place, "no-store") },
      okCodes: [0, 1, 2, 125, 126, 127],
    });
    return { code, text: `${stdout}${stderr}`.trim() };
  };
}

beforeAll(async () => {
  place = mkdtempSync("/var/tmp/atomfs-pods-");
  await run([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY });
  const bin = join(place, "image/bin");
  mkdirSync(bin, { recursive: true });
  copyFileSync(Bun.which("busybox") ?? "/bin/busybox", join(bin, "busybox"));
  await run(["tar", "-C", join(place, "image"), "-cf", join(place, "image.tar"), "."]);
}, patience(LIMIT_MS));

afterAll(async () => {
  for (const { target } of readMountinfo().reverse())
    if (target.startsWith(`${place}/`)) await run(["umount", "-l", target], { okCodes: [0, 1, 32] });
  rmSync(place, { recursive: true, force: true });
}, patience(LIMIT_MS));

/** What a pod's container sees of devices, before and after the pod was stopped and started; or how its start failed. */
async function lifeOfPod(manager: CgroupManager, runtime: string): Promise<readonly string[]> {
  const podman = await podmanOf(manager, runtime);
  const must = async (...args: string[]): Promise<string> => {
    const { code, text } = await podman(...args);
    if (code !== 0) throw new Error(`podman ${args.join(" ")}: ${text}`);
    return text;
  };
  const look = async (): Promise<string> => {
    const script = "echo >/dev/null && ls -l /dev/null | cut -c1-10; readlink /proc/1/ns/net | cut -c1-4";
    return must("exec", "one", "/bin/busybox", "sh", "-c", `export PATH=/bin; busybox ${script}`);
  };
  await must("import", "--quiet", join(place, "image.tar"), IMAGE);
  try {
    await must("pod", "create", "--name", "pod", "--network", "none", "--infra=true");
    const argv = ["run", "--detach", "--pod", "pod", "--name", "one", IMAGE];
    const started = await podman(...argv, "/bin/busybox", "sleep", "1000000");
    if (started.code !== 0) return [`code ${started.code}`, started.text];
    const before = await look();
    await must("pod", "stop", "--time", "0", "pod");
    await must("pod", "start", "pod");
    return [before, await look()];
  } finally {
    await podman("pod", "rm", "--force", "--time", "0", "pod");
  }
}

/** One after the other: they have one storage and the same names. */
async function bothLives(manager: CgroupManager): Promise<readonly (readonly string[])[]> {
  const lives: (readonly string[])[] = [];
  for (const runtime of RUNTIMES) lives.push(await lifeOfPod(manager, runtime));
  return lives;
}

describe("a pod of Podman 4.3 under runc and under crio-lxc", () => {
  testUnless(
    hasSystemd ? undefined : "systemd is not PID 1",
    "starts, stops and starts again with the cgroup manager systemd",
    async () => {
      const [control, ours] = await bothLives("systemd");
      expect(control?.[0]).toContain("crw-rw-rw-");
      expect(ours).toEqual(control ?? []);
    },
    LIMIT_MS,
  );

  testUnless(
    onlyV2 ? "on cgroup v2 Podman 4.3 gives it no device" : undefined,
    "starts, stops and starts again with the cgroup manager cgroupfs",
    async () => {
      const [control, ours] = await bothLives("cgroupfs");
      expect(control?.[0]).toContain("crw-rw-rw-");
      expect(ours).toEqual(control ?? []);
    },
    LIMIT_MS,
  );

  // If this fails, Podman has changed, and docs/crio-lxc.md says something that is not so any more.
  testUnless(
    onlyV2 ? undefined : "cgroup v1 has devices",
    "has a control group without any device with the cgroup manager cgroupfs on cgroup v2, so no runtime starts it",
    async () => {
      for (const life of await bothLives("cgroupfs"))
        expect(life.join("\n")).toMatch(/^code \d+\n[\s\S]*\/dev\/null.*operation not permitted/i);
    },
    LIMIT_MS,
  );
});
