import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { run } from "../../src/sys/process.ts";
import { atomfs } from "../support/atomfs-program.ts";
import { tarDirectory, writeOciLayout } from "../support/oci-image.ts";
import { patience } from "../support/slowness.ts";

/*
 * A small ext4 that has an engine's images and AtomFS's store. The engine's removing an image, as kubelet's image garbage
 * collection does, frees nothing there: the store's objects are links of the same files.
 */

const MEGABYTE = 1024 * 1024;
const DISK_MEGABYTES = 200;
const IMAGE_MEGABYTES = 60;

let work = "";
let disk = "";
let env: Record<string, string> = {};

beforeEach(async () => {
  // In lower case: podman makes a name of the path that it pulls from.
  work = `/var/tmp/atomfs-gc-full-${crypto.randomUUID()}`;
  mkdirSync(work);
  disk = join(work, "disk");
  mkdirSync(disk);
  await run(["truncate", "--size", `${DISK_MEGABYTES}M`, join(work, "ext4")]);
  await run(["mke2fs", "-q", "-t", "ext4", "-m", "0", join(work, "ext4")]);
  await run(["mount", "-o", "loop", join(work, "ext4"), disk]);
  const conf = join(work, "storage.conf");
  writeFileSync(
    conf,
    `[storage]\ndriver = "overlay"\ngraphroot = "${disk}/graph"\nrunroot = "${work}/run"\n`,
  );
  env = { CONTAINERS_STORAGE_CONF: conf, ATOMFS_ROOT: join(disk, "store") };
});
afterEach(async () => {
  // c/storage mounts its own directory to make it private.
  await run(["umount", join(disk, "graph/overlay")], { okCodes: [0, 1, 32] });
  await run(["umount", disk]);
  rmSync(work, { recursive: true, force: true });
  rmSync(runDirectoryOf(join(disk, "store")), { recursive: true, force: true });
});

async function pullImage(name: string): Promise<void> {
  const root = join(work, `root-${name}`);
  mkdirSync(root);
  for (let part = 0; part < 4; part++)
    writeFileSync(
      join(root, `part-${part}`),
      crypto
        .getRandomValues(Buffer.alloc(64 * 1024))
        .toString("hex")
        .repeat((IMAGE_MEGABYTES * 8) / 4),
    );
  await tarDirectory(root, `${root}.tar`);
  writeOciLayout(join(work, name), [`${root}.tar`], { name });
  await podman("pull", "--quiet", `oci:${join(work, name)}:test`);
}

async function podman(...args: string[]): Promise<string> {
  const { stdout } = await run(["podman", ...args], { env: { ...process.env, ...env } });
  return stdout.toString().trim();
}

function freeMegabytes(): number {
  const { bavail, bsize } = statfsSync(disk);
  return (bavail * bsize) / MEGABYTE;
}

async function gc(...options: string[]): Promise<{
  readonly images: readonly unknown[];
  readonly waiting: readonly unknown[];
  readonly nearlyFull: boolean;
  readonly skipped: boolean;
}> {
  return JSON.parse((await atomfs(["gc", "--json", ...options], env)).stdout);
}

test(
  "what the engine let go stays for the grace time, unless the disk is nearly full: then the next gc frees it",
  async () => {
    await pullImage("web");
    await atomfs(["import", "--all"], env);
    expect(await gc("--every", "1h")).toMatchObject({ waiting: [], nearlyFull: false, skipped: false });
    const before = freeMegabytes();
    await podman("rmi", "--all", "--force");
    // The trouble: the engine believes that it has made room.
    expect(freeMegabytes() - before).toBeLessThan(5);
    expect(await gc("--every", "1h")).toMatchObject({ skipped: true });
    expect(await gc()).toMatchObject({ images: [], waiting: [expect.anything()], nearlyFull: false });

    writeFileSync(join(disk, "filler"), Buffer.alloc(Math.floor(freeMegabytes() - 20) * MEGABYTE));
    expect(await gc("--dry-run")).toMatchObject({ images: [expect.anything()], nearlyFull: true });
    expect(await gc("--full", "0")).toMatchObject({ images: [], nearlyFull: false });
    expect(await gc("--full-grace", "1h")).toMatchObject({ images: [], nearlyFull: true });
    const full = freeMegabytes();
    // What the timer calls.
    expect(await gc("--every", "1h")).toMatchObject({ images: [expect.anything()], nearlyFull: true });
    expect(freeMegabytes() - full).toBeGreaterThan(IMAGE_MEGABYTES - 5);
    await atomfs(["fsck"], env);
  },
  patience(120_000),
);

test(
  "on a nearly full disk an image stays that the engine has, or that the operator imported for his own, before or after",
  async () => {
    await pullImage("web");
    await atomfs(["import", "--all"], env);
    await atomfs(["import", "--no-deploy", "--name", "mine", `oci:${join(work, "web")}:test`], env);
    await pullImage("feed");
    await atomfs(["import", "--all"], env);
    const images = async (): Promise<number> =>
      JSON.parse((await atomfs(["images", "--json"], env)).stdout).length;
    expect(await images()).toBe(2);
    expect(await gc("--full", "100")).toMatchObject({ images: [], waiting: [], nearlyFull: true });

    await podman("rmi", "--all");
    // Only "feed" was the engine's alone.
    expect(await gc("--full", "100")).toMatchObject({ images: [expect.anything()], waiting: [] });
    expect(await images()).toBe(1);
    await atomfs(["inspect", "mine"], env);
  },
  patience(120_000),
);
