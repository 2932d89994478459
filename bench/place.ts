import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writePodmanConfig } from "../scripts/demo/podman-config.ts";
import { openWorkplace, removeContainers, removeStore, unmountBelow } from "../scripts/demo/workplace.ts";
import { run } from "../src/sys/process.ts";

const PLACE = {
  purpose: "benchmark",
  directory: "/var/tmp/atomfs-bench",
  subnet: "10.89.178.0/24",
  bridge: "atomfs-bench0",
} as const;
/** Never made: no container of the benchmark has a network. */
const PLAIN_NETWORK = { subnet: "10.89.179.0/24", bridge: "atomfs-bench1" } as const;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Where the benchmark works: a main store with a Podman that sees it, a Podman without AtomFS, room for more stores. Nothing is
 * removed before the end: after many files were deleted, ext4 makes new ones up to ten times slower for some minutes, since it
 * passes over each recently freed inode.
 */
export type BenchPlace = AsyncDisposable & {
  readonly directory: string;
  /** The main store. */
  readonly root: string;
  /** For podman with the main store's image store, and for atomfs. */
  readonly env: Environment;
  /** For podman that has its own overlay storage only. */
  readonly plainEnv: Environment;
  readonly meterFile: string;
  /** Takes everything that the plain Podman has out of its sight. */
  readonly emptyPlainPodman: () => Promise<void>;
  /** A root for another store, where nothing is yet. */
  readonly newStore: (name: string) => string;
  /** A path where nothing is yet. */
  readonly newPath: (name: string) => string;
};

export async function openBenchPlace(): Promise<BenchPlace> {
  await using stack = new AsyncDisposableStack();
  const workplace = stack.use(await openWorkplace(PLACE));
  const { directory } = workplace;
  const plain = join(directory, "plain-podman");
  const stores = join(directory, "stores");
  const clear = async (): Promise<void> => {
    await removeContainers(plain);
    for (const name of existsSync(stores) ? readdirSync(stores) : []) removeStore(join(stores, name));
    removeTree(plain);
    removeTree(join(directory, "room"));
  };
  await clear();
  stack.defer(clear);
  mkdirSync(plain, { mode: 0o700 });
  mkdirSync(join(directory, "room"), { mode: 0o700 });
  mkdirSync(stores, { recursive: true, mode: 0o700 });
  const podman = await writePodmanConfig({
    directory: plain,
    imageStores: [],
    runtime: "runc",
    ...PLAIN_NETWORK,
  });
  let names = 0;
  const nextName = (name: string): string => `${name}-${names++}`;
  const newPath = (name: string): string => join(directory, "room", nextName(name));
  const owned = stack.move();
  return {
    directory,
    root: workplace.root,
    env: workplace.env,
    plainEnv: { ...process.env, ...podman },
    meterFile: join(directory, "meter.json"),
    emptyPlainPodman: async () => {
      await removeContainers(plain);
      unmountBelow(plain);
      for (const name of ["graph", "run"]) {
        if (existsSync(join(plain, name))) renameSync(join(plain, name), newPath(name));
      }
    },
    newStore: (name) => join(stores, nextName(name)),
    newPath,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A directory and what is mounted below it. */
function removeTree(path: string): void {
  unmountBelow(path);
  rmSync(path, { recursive: true, force: true });
}

/** What a directory takes on the disk, in bytes; hard links count once. */
export async function diskBytes(path: string): Promise<number> {
  const { stdout } = await run(["du", "--summarize", "--one-file-system", "--block-size=1", path]);
  return Number.parseInt(stdout.toString(), 10);
}
