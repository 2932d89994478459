/**
 * The image of deploy/daemonset.yaml: bun scripts/node-image.ts DIRECTORY KUBECTL CRICTL
 * writes an OCI layout with the tag `node`, which skopeo copies to where nodes pull from.
 */
import { chmod, cp, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AtomfsError } from "../src/core/errors.ts";
import { abortOnSignals } from "../src/sys/interruption.ts";
import { run } from "../src/sys/process.ts";

export type NodeImageOptions = {
  /** With the compiled atomfs, crio-lxc and player. */
  readonly programs: string;
  readonly kubectl: string;
  readonly crictl: string;
  /** Of the OCI layout; must not exist. */
  readonly output: string;
  readonly signal: AbortSignal;
};

const REPOSITORY = join(import.meta.dir, "..");
const TAG = "node";
/** What atomfs is linked with, and a shell with what its script calls. */
const PACKAGES = ["libc6", "busybox-static"] as const;
const APPLETS = ["sh", "grep", "ln", "rm", "sleep", "timeout", "nsenter"] as const;

/** Out of this machine's Debian archive, whose signatures apt checks, and what was compiled. @returns as skopeo takes it */
export async function buildNodeImage(options: NodeImageOptions): Promise<string> {
  const { programs, kubectl, crictl, output, signal } = options;
  const work = await mkdtemp(`${output}.work-`);
  try {
    const root = join(work, "root");
    await unpackPackages(work, root, signal);
    for (const name of APPLETS) await symlink("busybox", join(root, "bin", name));
    const own = join(root, "opt/atomfs");
    await mkdir(own, { recursive: true });
    for (const name of ["atomfs", "crio-lxc", "player"]) await cp(join(programs, name), join(own, name));
    await cp(join(REPOSITORY, "deploy/image/atomfs-node"), join(own, "atomfs-node"));
    await mkdir(join(root, "usr/bin"), { recursive: true });
    await cp(kubectl, join(root, "usr/bin/kubectl"));
    await cp(crictl, join(root, "usr/bin/crictl"));
    for (const name of ["kubectl", "crictl"]) await chmod(join(root, "usr/bin", name), 0o755);
    await pack(root, output, signal);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return `oci:${output}:${TAG}`;
}

async function unpackPackages(work: string, root: string, signal: AbortSignal): Promise<void> {
  const downloads = join(work, "packages");
  await mkdir(downloads);
  const options = { cwd: downloads, signal };
  const { code } = await run(["apt-get", "download", "-q", ...PACKAGES], { ...options, okCodes: [0, 100] });
  if (code !== 0) {
    // The lists are older than the archive, or were never there.
    await run(["apt-get", "update", "-q"], options);
    await run(["apt-get", "download", "-q", ...PACKAGES], options);
  }
  for (const name of await readdir(downloads))
    await run(["dpkg", "--extract", join(downloads, name), root], { signal });
}

async function pack(root: string, output: string, signal: AbortSignal): Promise<void> {
  const image = `${output}:${TAG}`;
  const umoci = (...args: readonly string[]): Promise<unknown> => run(["umoci", ...args], { signal });
  await umoci("init", "--layout", output);
  await umoci("new", "--image", image);
  for (const name of ["bin", "lib", "lib64", "usr", "opt"])
    await umoci("insert", "--image", image, join(root, name), `/${name}`);
  await umoci(
    ...["config", "--image", image, "--config.env=PATH=/usr/bin:/bin"],
    ...["--config.entrypoint=/opt/atomfs/atomfs-node", "--config.cmd=run"],
  );
}

if (import.meta.main) {
  const [output, kubectl, crictl] = process.argv.slice(2);
  if (output === undefined || kubectl === undefined || crictl === undefined)
    throw new AtomfsError("usage", "bun scripts/node-image.ts DIRECTORY KUBECTL CRICTL");
  const options = { programs: join(REPOSITORY, "dist"), kubectl, crictl, output: resolve(output) };
  process.stdout.write(`${await buildNodeImage({ ...options, signal: abortOnSignals() })}\n`);
}
