import { chmod, copyFile, cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";
import { runIsolated } from "./isolated.ts";

/** Debian 12, and only its main archive: the security archive would bring the fixed packages. */
export const SUITE = "bookworm";

export type BuildOptions = {
  readonly cacheDir: string;
  readonly log: (message: string) => void;
  readonly signal?: AbortSignal;
};

/** A bootstrapped tree (never changed: images copy it) and what apt needs to install more into a copy. */
export type Minbase = { readonly tree: string; readonly apt: string; readonly debs: string };

/** The URI of the Debian archive in this machine's own apt configuration. @throws AtomfsError "unsupported" */
async function debianMirror(signal: AbortSignal | undefined): Promise<string> {
  const format = "$(REPO_URI)\t$(RELEASE)\t$(CODENAME)\t$(COMPONENT)";
  const { stdout } = await run(["apt-get", "indextargets", "--format", format, "Created-By: Packages"], {
    ...(signal === undefined ? {} : { signal }),
  });
  for (const line of stdout.toString().split("\n")) {
    const [uri, release, codename, component] = line.split("\t");
    if (uri !== undefined && component === "main" && (release === SUITE || codename === SUITE)) return uri;
  }
  throw new AtomfsError(
    "unsupported",
    `Cannot find a Debian ${SUITE} main archive in this machine's apt sources`,
    {
      hints: [`add "${SUITE} main" to /etc/apt/sources.list and run apt-get update`],
    },
  );
}

async function emptyDirectory(path: string): Promise<void> {
  for (const name of await readdir(path)) await rm(join(path, name), { recursive: true, force: true });
}

/** Removes what belongs to the machine that builds, not to the image: logs, caches, device nodes, names of hosts. */
async function removeTraces(tree: string): Promise<void> {
  for (const directory of [
    "dev",
    "tmp",
    "run",
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "var/cache/ldconfig",
  ])
    await emptyDirectory(join(tree, directory));
  for (const file of [
    "etc/hostname",
    "etc/resolv.conf",
    "var/log/apt",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/cache/apt/pkgcache.bin",
    "var/cache/apt/srcpkgcache.bin",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/diversions-old",
  ])
    await rm(join(tree, file), { recursive: true, force: true });
  await writeFile(join(tree, "etc/apt/sources.list"), "");
}

/** The bootstrapped tree from the cache, or made now. It appears whole or not at all. */
export async function minbase(key: string, work: string, options: BuildOptions): Promise<Minbase> {
  const home = join(options.cacheDir, `minbase-${SUITE}-${key}`);
  const debs = join(options.cacheDir, "debs");
  const done: Minbase = { tree: join(home, "tree"), apt: join(home, "apt"), debs };
  if ((await readdir(options.cacheDir)).includes(basename(home))) return done;

  options.log(`Bootstrapping Debian ${SUITE} (main, no updates)`);
  const mirror = await debianMirror(options.signal);
  const half = join(work, "minbase");
  const tree = join(half, "tree");
  await mkdir(debs, { recursive: true });
  await mkdir(join(half, "apt"), { recursive: true });
  await runIsolated(
    `bootstrap Debian ${SUITE}`,
    "the machine must reach the Debian archive of its own apt sources",
    ["debootstrap", "--variant=minbase", `--cache-dir=${debs}`, SUITE, tree, mirror],
    options.signal,
  );
  await cp(join(tree, "var/lib/apt/lists"), join(half, "apt/lists"), { recursive: true });
  await copyFile(join(tree, "etc/apt/sources.list"), join(half, "apt/sources.list"));
  await removeTraces(tree);
  await chmod(half, 0o755);
  await renameUnlessThere(half, home);
  return done;
}

/** Two builds at a time make the same thing twice; the first one stays. */
export async function renameUnlessThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
}

/** Copies the bootstrapped tree into the existing directory `rootfs`, with owners, times and links. */
export async function copyTree(
  base: Minbase,
  rootfs: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await run(["cp", "-a", "--reflink=auto", `${base.tree}/.`, rootfs], signal === undefined ? {} : { signal });
}

/** Runs in the namespace: gives the tree a /dev and, below /mnt and /media, apt's indexes and the packages. */
const INSTALL_SCRIPT = `set -e
tree=$1 apt=$2 debs=$3
shift 3
mount -t tmpfs -o mode=0755 tmpfs "$tree/dev"
mknod -m 666 "$tree/dev/null" c 1 3
mknod -m 666 "$tree/dev/zero" c 1 5
mknod -m 666 "$tree/dev/urandom" c 1 9
mount -t proc proc "$tree/proc"
mount --bind "$apt" "$tree/mnt"
mount --bind "$debs" "$tree/media"
cp -L /etc/resolv.conf "$tree/etc/resolv.conf" 2>/dev/null || true
exec chroot "$tree" apt-get install -y -q --no-install-recommends \\
  -o Dir::State::lists=/mnt/lists -o Dir::Etc::sourcelist=/mnt/sources.list -o Dir::Cache::archives=/media/ \\
  -o Acquire::Retries=3 "$@"
`;

/** Installs packages (and what they depend on, nothing more) with apt, in the tree's own world. */
export async function installPackages(
  base: Minbase,
  rootfs: string,
  packages: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  await runIsolated(
    `install ${packages.join(", ")} in a demo image`,
    `if the archive has moved on, remove ${dirname(base.tree)} and try again`,
    ["sh", "-c", INSTALL_SCRIPT, "install", rootfs, base.apt, base.debs, ...packages],
    signal,
  );
  await removeTraces(rootfs);
}

/** The installed version of a package of the tree; undefined if it isn't installed. */
export async function packageVersion(rootfs: string, name: string): Promise<string | undefined> {
  const status = await readFile(join(rootfs, "var/lib/dpkg/status"), "latin1");
  for (const stanza of status.split("\n\n")) {
    if (!stanza.startsWith(`Package: ${name}\n`)) continue;
    return /^Version: (.*)$/m.exec(stanza)?.[1];
  }
  return undefined;
}
