import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { buildDemoImages, DEFAULT_CACHE_DIR, VULNERABLE_PACKAGE } from "../../scripts/demo/images.ts";
import { run } from "../../src/sys/process.ts";
import { debianRootfs } from "../support/debian-rootfs.ts";
import { copyArchive } from "./archive.ts";
import { makeFilesystem } from "./root-disk.ts";
import { cached, makeTree, type TreeRecipe } from "./trees.ts";

const REPOSITORY = join(import.meta.dir, "../..");
/** Checks of the source, which nobody runs in the guest. */
const NOT_IN_GUEST = ["typescript", "@typescript", "@biomejs"];
/** What is fixed together in the demo's images, and what tests install. */
const ARCHIVED_PACKAGES = [VULNERABLE_PACKAGE, "expat", "busybox-static"];
const DISK_SIZE = "8G";

/** liblxc with its own C library, and what the tests call. Unpacked, not installed. */
const LXC_PACKAGES = [
  ...[
    "base-files",
    "lxc",
    "busybox-static",
    "dash",
    "coreutils",
    "findutils",
    "procps",
    "util-linux",
    "mount",
  ],
];

export type LxcVersion = "6" | "7";

const LXC: Readonly<Record<LxcVersion, TreeRecipe>> = {
  "6": { suite: "trixie", beside: [], variant: "extract", packages: LXC_PACKAGES },
  "7": { suite: "sid", beside: [], variant: "extract", packages: LXC_PACKAGES },
};

/** Where the guest finds it. */
export function lxcRoot(version: LxcVersion): string {
  return `/work/lxc-${version}`;
}

export type WorkRequest = {
  readonly cache: string;
  readonly directory: string;
  readonly lxc: readonly LxcVersion[];
  readonly onStep: (what: string) => void;
  readonly signal: AbortSignal;
};

/** A disk with this checkout as it is, what tests find in their caches, a part of Debian's archive and other versions of LXC. */
export async function workDisk(request: WorkRequest): Promise<string> {
  const { cache, directory, signal, onStep } = request;
  const tree = join(directory, "work-tree");
  mkdirSync(join(tree, "caches"), { recursive: true });
  onStep("this checkout");
  await copyRepository(join(tree, "repository"));
  onStep("Debian's archive, as far as it is needed");
  await copyArchive(join(tree, "archive"), ARCHIVED_PACKAGES);
  onStep("the demo's images and a Debian root");
  const { web } = await buildDemoImages({ cacheDir: DEFAULT_CACHE_DIR, log: onStep, signal });
  for (const made of [dirname(web.layout), await debianRootfs()]) {
    const target = join(tree, "caches", basename(dirname(made)), basename(made));
    mkdirSync(dirname(target), { recursive: true });
    await run(["cp", "-a", "--reflink=auto", made, target], { signal });
  }
  for (const version of request.lxc) {
    onStep(`LXC ${version} of ${LXC[version].suite}`);
    const key = new Bun.CryptoHasher("sha256")
      .update(JSON.stringify(LXC[version]))
      .digest("hex")
      .slice(0, 12);
    const made = await cached(join(cache, `lxc-${version}-${key}`), (work) =>
      makeLxcTree(version, join(work, "tree"), signal),
    );
    await run(["cp", "-a", "--reflink=auto", join(made, "tree"), join(tree, basename(lxcRoot(version)))], {
      signal,
    });
  }
  onStep("the disk of all that");
  const disk = join(directory, "work.ext4");
  await makeFilesystem(disk, DISK_SIZE, tree);
  rmSync(tree, { recursive: true });
  return disk;
}

async function makeLxcTree(version: LxcVersion, tree: string, signal: AbortSignal): Promise<void> {
  await makeTree(LXC[version], tree, signal);
  // The one that the tests know: each release's has other programs in it.
  copyFileSync(Bun.which("busybox") ?? "/bin/busybox", join(tree, "usr/bin/busybox"));
}

/** The files of this checkout that git knows or would take, as paths in it. */
async function sourceFiles(): Promise<string[]> {
  const listed = await run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: REPOSITORY,
  });
  const names = listed.stdout.toString().split("\0");
  return names.filter((name) => name !== "" && existsSync(join(REPOSITORY, name)));
}

/** What is only written for people, and what earlier runs came to. */
const NOT_TESTED = /\.md$|^tests\/conformance\/results\//;

/** Of what is in this checkout, as it is, but for that. */
export async function sourceDigest(): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for (const name of (await sourceFiles()).filter((each) => !NOT_TESTED.test(each)).sort()) {
    const digest = new Bun.CryptoHasher("sha256").update(readFileSync(join(REPOSITORY, name)));
    hash.update(`${name}\0${digest.digest("hex")}\0`);
  }
  return hash.digest("hex").slice(0, 16);
}

/** This checkout, what npm installed for running, and the compiled parts, made anew. */
export async function copyRepository(target: string): Promise<void> {
  for (const name of await sourceFiles()) {
    mkdirSync(dirname(join(target, name)), { recursive: true });
    copyFileSync(join(REPOSITORY, name), join(target, name));
  }
  const modules = join(REPOSITORY, "node_modules");
  for (const name of readdirSync(modules)) {
    if (NOT_IN_GUEST.includes(name)) continue;
    cpSync(join(modules, name), join(target, "node_modules", name), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
  await run([process.execPath, join(REPOSITORY, "scripts/build.ts")], { cwd: REPOSITORY });
  cpSync(join(REPOSITORY, "dist"), join(target, "dist"), { recursive: true, verbatimSymlinks: true });
}
