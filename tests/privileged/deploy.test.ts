import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeStore, unmountBelow } from "../../scripts/demo/workplace.ts";
import type { VerityDigest } from "../../src/core/digest.ts";
import { applyFix } from "../../src/fixing/apply.ts";
import { readPlan } from "../../src/fixing/stored-plan.ts";
import { mountPointOf, runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { storeLayout } from "../../src/store/layout.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";
import { FixMachine, LIBRARY } from "../support/fix-machine.ts";
import { patience } from "../support/slowness.ts";

/**
 * What engines see after crashes, reboots and damage. Needs root, podman, runc and the Debian archive. The tests tell one
 * story: each begins where the one before ended.
 */
const LIMIT_MS = patience(300_000);

let machine: FixMachine;
const molecules = new Map<string, VerityDigest>();
let treeBytes = 0;

beforeAll(async () => {
  machine = await FixMachine.open({
    purpose: "deploy test",
    directory: "/var/tmp/atomfs-deploy-test",
    subnet: "10.89.212.0/24",
    bridge: "atomfs-deploy0",
  });
  for (const name of ["web", "plain"] as const) {
    const { answer } = await machine.atomfs<{ molecule: VerityDigest; totalBytes: number }>(
      "import",
      machine.images[name].source,
      "--name",
      `${name}:1.0`,
    );
    molecules.set(name, answer.molecule);
    if (name === "web") treeBytes = answer.totalBytes;
  }
}, LIMIT_MS);

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
}, LIMIT_MS);

function mounts(root: string): string[] {
  const directory = `${runDirectoryOf(root)}/`;
  return readMountinfo()
    .map(({ target }) => target)
    .filter((target) => target.startsWith(directory));
}

async function libraryOfNewContainer(): Promise<string> {
  const out = await machine.podman("run", "--rm", "--network", "none", "web:1.0", "sha256sum", LIBRARY);
  return out.slice(0, 64);
}

function moleculePath(name: string): string {
  return storeLayout(machine.root).molecule(molecules.get(name) as VerityDigest);
}

test(
  "engines see the size of the tree",
  async () => {
    const [{ Size }] = JSON.parse(await machine.podman("image", "inspect", "web:1.0"));
    expect(Size).toBeGreaterThanOrEqual(treeBytes);
    expect(Size).toBeLessThan(treeBytes + 1_000_000);
  },
  LIMIT_MS,
);

test(
  "a crash between the journal and the image store is mended by deploy",
  async () => {
    await machine.podman(
      "run",
      "--detach",
      "--network",
      "none",
      "--name",
      "kept",
      "web:1.0",
      "sleep",
      "1000000",
    );
    const old = await libraryOfNewContainer();
    const { answer: plan } = await machine.atomfs<{ id: string }>("fix", "plan", "libexpat1");
    {
      using store = machine.store();
      applyFix(store, readPlan(store, plan.id), new Date());
    }
    expect(await libraryOfNewContainer()).toBe(old);
    expect((await machine.containers()).get("kept")?.root).toBe("outdated");
    expect((await machine.atomfs("deploy")).code).toBe(0);
    expect(await libraryOfNewContainer()).not.toBe(old);
    expect(mounts(machine.root)).toHaveLength(2);
  },
  LIMIT_MS,
);

test(
  "after a reboot deploy brings all mounts back, and a stopped container starts on the current molecule",
  async () => {
    await machine.podman("stop", "--time", "0", "kept");
    const run = runDirectoryOf(machine.root);
    unmountBelow(run);
    rmSync(run, { recursive: true });
    expect(await machine.podman("start", "kept").catch((error: Error) => error.message)).toContain("failed");
    const { code, answer } = await machine.atomfs<{ isNew: boolean }[]>("deploy");
    expect({ code, answer: answer.map(({ isNew }) => isNew) }).toEqual({ code: 0, answer: [true, true] });
    await machine.podman("start", "kept");
    expect((await machine.containers()).get("kept")?.root).toBe("current");
    const again = await machine.atomfs<{ isNew: boolean }[]>("deploy");
    expect(again.answer.map(({ isNew }) => isNew)).toEqual([false, false]);
    await machine.podman("rm", "--force", "--time", "0", "kept");
  },
  LIMIT_MS,
);

test(
  "a damaged or lost molecule is named, and the other images are deployed",
  async () => {
    const path = moleculePath("plain");
    const bytes = readFileSync(path);
    for (const damage of ["changed", "lost"] as const) {
      await machine.atomfs("unmount");
      expect(mounts(machine.root)).toEqual([]);
      rmSync(path);
      if (damage === "changed") writeFileSync(path, Buffer.from(bytes).fill(1, bytes.length - 8));
      const { code, stderr } = await machine.atomfs("deploy");
      expect(code).toBe(damage === "changed" ? 8 : 7);
      const { error } = JSON.parse(stderr);
      expect(error.message).toStartWith("Cannot deploy localhost/plain:1.0 (");
      expect(error.message).toContain(molecules.get("plain"));
      expect(error.message).toEndWith("; 1 other image(s) are deployed");
      expect(error.hints).toContain("run `atomfs fsck`");
      expect(mounts(machine.root)).toHaveLength(1);
      expect(await libraryOfNewContainer()).toMatch(/^[0-9a-f]{64}$/);
    }
    writeFileSync(path, bytes);
    chmodSync(path, 0o400);
    expect((await machine.atomfs("deploy")).code).toBe(0);
    expect(mounts(machine.root)).toHaveLength(2);
  },
  LIMIT_MS,
);

test(
  "something else on a molecule's mount point is not taken for it",
  async () => {
    await machine.atomfs("unmount");
    const layout = storeLayout(machine.root);
    const target = mountPointOf(layout, molecules.get("plain") as VerityDigest);
    mkdirSync(target, { recursive: true });
    await run(["mount", "-t", "tmpfs", "tmpfs", target]);
    const { code, stderr } = await machine.atomfs("deploy");
    expect(code).toBe(1);
    expect(stderr).toContain(`something else is on ${target}`);
    await run(["umount", target]);
    expect((await machine.atomfs("deploy")).code).toBe(0);
  },
  LIMIT_MS,
);

test(
  "layers that a killed mount left are swept, those of one that goes on are not",
  async () => {
    const run_ = runDirectoryOf(machine.root);
    for (const name of ["layers-abandoned", "layers-young"]) {
      for (const point of ["0", "1"]) {
        mkdirSync(join(run_, name, point), { recursive: true });
        await run(["mount", "-t", "tmpfs", "tmpfs", join(run_, name, point)]);
      }
    }
    const hourAgo = new Date(Date.now() - 3_600_000);
    utimesSync(join(run_, "layers-abandoned"), hourAgo, hourAgo);
    expect((await machine.atomfs("deploy")).code).toBe(0);
    expect(existsSync(join(run_, "layers-abandoned"))).toBe(false);
    const layers = mounts(machine.root).filter((target) => target.includes("/layers-"));
    expect(layers.map((target) => target.slice(run_.length + 1))).toEqual([
      "layers-young/0",
      "layers-young/1",
    ]);
    for (const target of layers) await run(["umount", target]);
    rmSync(join(run_, "layers-young"), { recursive: true });
  },
  LIMIT_MS,
);

test(
  "a mount that somebody stands in stays until the next time",
  async () => {
    const current = mountPointOf(storeLayout(machine.root), molecules.get("plain") as VerityDigest);
    const visitor = Bun.spawn(["sleep", "1000000"], { cwd: current });
    const unmounted = await machine.atomfs<string[]>("unmount");
    expect(unmounted.code).toBe(0);
    expect(mounts(machine.root)).toEqual([current]);
    visitor.kill("SIGKILL");
    await visitor.exited;
    await machine.atomfs("unmount");
    expect(mounts(machine.root)).toEqual([]);
    expect((await machine.atomfs("deploy")).code).toBe(0);
  },
  LIMIT_MS,
);

test(
  "two stores do not disturb each other",
  async () => {
    const second = join(machine.workplace.directory, "second-store");
    try {
      const { source } = machine.images.plain;
      const imported = await machine.atomfs("--root", second, "import", source, "--name", "plain:2.0");
      expect(imported.code).toBe(0);
      expect([mounts(machine.root).length, mounts(second).length]).toEqual([2, 1]);
      expect((await machine.atomfs("--root", second, "unmount")).code).toBe(0);
      expect([mounts(machine.root).length, mounts(second).length]).toEqual([2, 0]);
      expect((await machine.atomfs("--root", second, "deploy")).code).toBe(0);
      await machine.atomfs("unmount");
      expect([mounts(machine.root).length, mounts(second).length]).toEqual([0, 1]);
      expect((await machine.atomfs("deploy")).code).toBe(0);
      expect(await machine.podman("run", "--rm", "--network", "none", "plain:1.0", "echo", "runs")).toBe(
        "runs",
      );
    } finally {
      removeStore(second);
    }
  },
  LIMIT_MS,
);
