import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { initImageStore } from "../../src/engines/podman/image-store.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { lockFile } from "../../src/sys/lock.ts";
import { unmountAt } from "../../src/sys/mount.ts";
import { findMount, readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";
import { type PodmanEnvironment, writePodmanConfig } from "./podman-config.ts";

/** Fixed, so that the next run finds and removes what a killed one left. */
const DIRECTORY = "/var/tmp/atomfs-demo";
const SUBNET = "10.89.177.0/24";
const BRIDGE = "atomfs-demo0";

export type Workplace = AsyncDisposable & {
  readonly directory: string;
  /** AtomFS's store of the demo. */
  readonly root: string;
  /** For podman and atomfs; the user's own configuration is neither read nor changed. */
  readonly env: Readonly<Record<string, string | undefined>>;
};

/** Only one demo at a time; what is made here is taken away at the end, whatever happens. */
export async function openWorkplace(): Promise<Workplace> {
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
  const lock = takeLock();
  const root = join(DIRECTORY, "store");
  const podmanDirectory = join(DIRECTORY, "podman");
  try {
    const earlier = environment(root, earlierPodman(podmanDirectory));
    await clear(root, podmanDirectory, earlier);
    const imageStore = join(root, "image-store");
    mkdirSync(podmanDirectory, { recursive: true, mode: 0o700 });
    initImageStore(imageStore);
    const podman = await writePodmanConfig({
      directory: podmanDirectory,
      imageStores: [imageStore],
      runtime: "runc",
      subnet: SUBNET,
      bridge: BRIDGE,
    });
    const env = environment(root, podman);
    return {
      directory: DIRECTORY,
      root,
      env,
      async [Symbol.asyncDispose]() {
        await clear(root, podmanDirectory, env);
        lock[Symbol.dispose]();
        rmSync(DIRECTORY, { recursive: true, force: true });
      },
    };
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

function takeLock(): Disposable {
  try {
    return lockFile(join(DIRECTORY, "lock"), "exclusive", { wait: false });
  } catch (cause) {
    throw new AtomfsError("stale", "Another demo is running on this machine", {
      cause,
      hints: ["wait until it has ended"],
    });
  }
}

function environment(root: string, podman: PodmanEnvironment): Workplace["env"] {
  return { ...process.env, ...podman, ATOMFS_ROOT: root };
}

function earlierPodman(directory: string): PodmanEnvironment {
  return {
    CONTAINERS_CONF: join(directory, "containers.conf"),
    CONTAINERS_STORAGE_CONF: join(directory, "storage.conf"),
  };
}

/** Containers first, then their storage, then the molecules under them. Every part may be absent. */
async function clear(root: string, podmanDirectory: string, env: Workplace["env"]): Promise<void> {
  if (existsSync(env["CONTAINERS_STORAGE_CONF"] ?? "")) {
    await run(["podman", "rm", "--all", "--force", "--time", "0"], { env, okCodes: [0, 1, 125] });
  }
  const runDirectory = runDirectoryOf(root);
  const ours = readMountinfo().filter(({ target }) =>
    [DIRECTORY, runDirectory].some((directory) => target.startsWith(`${directory}/`)),
  );
  for (const { target } of ours.reverse()) {
    if (findMount(readMountinfo(), target) !== undefined) unmountAt(target, { detach: true });
  }
  rmSync(podmanDirectory, { recursive: true, force: true });
  rmSync(root, { recursive: true, force: true });
  rmSync(runDirectory, { recursive: true, force: true });
  await run(["ip", "link", "delete", BRIDGE], { okCodes: [0, 1] });
}
