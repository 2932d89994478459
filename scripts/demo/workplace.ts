import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { initImageStore } from "../../src/engines/podman/image-store.ts";
import { runDirectoryOf } from "../../src/mounts/molecule-mounts.ts";
import { DEFAULT_STATE_DIRECTORY } from "../../src/runtime/argv.ts";
import { listIds, readRecord } from "../../src/runtime/state.ts";
import { lockFile } from "../../src/sys/lock.ts";
import { unmountAt } from "../../src/sys/mount.ts";
import { findMount, readMountinfo } from "../../src/sys/mountinfo.ts";
import { run } from "../../src/sys/process.ts";
import { type PodmanEnvironment, writePodmanConfig } from "./podman-config.ts";
import type { Way } from "./ways.ts";

export type Place = {
  /** For people: "Another demo is running". */
  readonly purpose: string;
  /** Fixed, so that the next run finds and removes what a killed one left. */
  readonly directory: string;
  readonly subnet: string;
  readonly bridge: string;
};

const DEMO: Place = {
  purpose: "demo",
  directory: "/var/tmp/atomfs-demo",
  subnet: "10.89.177.0/24",
  bridge: "atomfs-demo0",
};

export type Workplace = AsyncDisposable & {
  readonly directory: string;
  /** AtomFS's store of the demo. */
  readonly root: string;
  /** Where atomfs and crio-lxc are to be put, with the player beside them. */
  readonly programs: string;
  /** For podman and atomfs; the user's own configuration is neither read nor changed. */
  readonly env: Readonly<Record<string, string | undefined>>;
};

/** Only one program at a time in a place; what is made here is taken away at the end, whatever happens. */
export async function openWorkplace(place: Place = DEMO, way: Way["name"] = "storage"): Promise<Workplace> {
  const { directory } = place;
  makeOwnDirectory(directory);
  const lock = takeLock(place);
  const root = join(directory, "store");
  const programs = join(directory, "programs");
  const podmanDirectory = join(directory, "podman");
  const env = { ATOMFS_ROOT: root, ATOMFS_CONFIG: join(directory, "atomfs.toml"), [MARK]: directory };
  try {
    await clear(place, root, podmanDirectory);
    mkdirSync(podmanDirectory, { recursive: true, mode: 0o700 });
    const imageStores = way === "storage" ? [join(root, "image-store")] : [];
    for (const imageStore of imageStores) initImageStore(imageStore);
    const podman = await writePodmanConfig({
      directory: podmanDirectory,
      imageStores,
      runtime: way === "storage" ? "runc" : { name: "crio-lxc", path: join(programs, "crio-lxc") },
      runtimeEnv: env,
      subnet: place.subnet,
      bridge: place.bridge,
    });
    return {
      directory,
      root,
      programs,
      env: { ...process.env, ...podman, ...env },
      async [Symbol.asyncDispose]() {
        await clear(place, root, podmanDirectory);
        lock[Symbol.dispose]();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/** The name is known to all users of the machine, and its parent is open to all of them. */
export function makeOwnDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const stat = lstatSync(directory);
  if (stat.isDirectory() && stat.uid === process.geteuid?.() && (stat.mode & 0o022) === 0) return;
  throw new AtomfsError("unsupported", `${directory} belongs to somebody else`, {
    hints: [`look at it, then remove it: ls -ld ${directory}`],
  });
}

export function takeLock({ directory, purpose }: Pick<Place, "directory" | "purpose">): Disposable {
  try {
    return lockFile(join(directory, "lock"), "exclusive", { wait: false });
  } catch (cause) {
    throw new AtomfsError("stale", `Another ${purpose} is running on this machine`, {
      cause,
      hints: ["wait until it has ended"],
    });
  }
}

/** Containers first, then their storage, then the molecules under them. Every part may be absent. */
async function clear(place: Place, root: string, podmanDirectory: string): Promise<void> {
  await removeContainers(podmanDirectory);
  await removeRuntimeState(place.directory);
  await endProcesses(place.directory);
  removeStore(root);
  unmountBelow(place.directory);
  rmSync(podmanDirectory, { recursive: true, force: true });
  await run(["ip", "link", "delete", place.bridge], { ownSession: true, okCodes: [0, 1] });
}

/** All containers of a Podman set-up that `writePodmanConfig` made in this directory, if there is one. */
export async function removeContainers(podmanDirectory: string): Promise<void> {
  const environment: PodmanEnvironment = {
    CONTAINERS_CONF: join(podmanDirectory, "containers.conf"),
    CONTAINERS_STORAGE_CONF: join(podmanDirectory, "storage.conf"),
  };
  if (!existsSync(environment.CONTAINERS_STORAGE_CONF)) return;
  const env = { ...process.env, ...environment };
  // In a session of its own: a second Ctrl-C would end it half-way.
  await run(["podman", "rm", "--all", "--force", "--time", "0"], {
    ownSession: true,
    env,
    okCodes: [0, 1, 125],
  });
}

/** Containers of crio-lxc in this directory that Podman does not know any more. */
async function removeRuntimeState(directory: string): Promise<void> {
  for (const id of crioLxcContainers(directory)) {
    await run([join(directory, "programs/crio-lxc"), "delete", "--force", id], { ownSession: true });
  }
}

/** Ids of the containers that crio-lxc keeps for a Podman in this directory. */
export function crioLxcContainers(directory: string): string[] {
  return listIds(DEFAULT_STATE_DIRECTORY).filter((id) => {
    try {
      return readRecord(DEFAULT_STATE_DIRECTORY, id)?.bundle.startsWith(`${directory}/`) === true;
    } catch (error) {
      // It is being removed, or of another version of crio-lxc.
      if (error instanceof AtomfsError) return false;
      throw error;
    }
  });
}

const PATIENCE_MS = 5000;
/** The kernel may need long for a process that was killed, on a loaded machine. */
const KILLED_MS = 60_000;
/** A variable that nobody else sets. */
export const MARK = "ATOMFS_WORKPLACE";

/** Waits for the commands that a killed program left on their way, and kills those that don't end. */
async function endProcesses(directory: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (let pids = processesOf(directory); pids.length > 0; pids = processesOf(directory)) {
    if (performance.now() > end) for (const pid of pids) kill(pid);
    if (performance.now() > end + KILLED_MS)
      throw new AtomfsError("failed", `Cannot end process ${pids.join(", ")} of an earlier run`);
    await Bun.sleep(50);
  }
}

/** Processes that were started for this place: their environment says so. */
export function processesOf(directory: string, mark: string = MARK): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      if (pid === process.pid) return false;
      try {
        return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(`${mark}=${directory}`);
      } catch {
        return false;
      }
    });
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** A store and the mounts of its molecules. */
export function removeStore(root: string): void {
  const runDirectory = runDirectoryOf(root);
  for (const directory of [runDirectory, root]) {
    unmountBelow(directory);
    rmSync(directory, { recursive: true, force: true });
  }
}

export function unmountBelow(directory: string): void {
  const targets = readMountinfo()
    .map(({ target }) => target)
    .filter((target) => target.startsWith(`${directory}/`));
  for (const target of targets.reverse()) {
    if (findMount(readMountinfo(), target) !== undefined) unmountAt(target, { detach: true });
  }
}
