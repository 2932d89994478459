import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { critestBinaries } from "../../scripts/k8s/binaries.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";
import { writeLayout } from "../support/synthetic-images.ts";
import { makeFilesystem } from "../vm/root-disk.ts";
import { copyRepository } from "../vm/work-disk.ts";
import { staticProgram, upstreamBusybox } from "./busybox.ts";
import { critestImages, DIGEST_REPOSITORY, nginxFiles } from "./images.ts";

const DISK_SIZE = "4G";
const CNI_PLUGINS = "/usr/lib/cni";
/** What one spec pulls, and nobody can make again. */
const UNOBTAINABLE_DIGEST = "9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf";

export type DiskRequest = {
  readonly cache: string;
  /** An existing directory. */
  readonly directory: string;
  readonly onStep: (what: string) => void;
  readonly signal: AbortSignal;
};

export type CritestDisk = {
  readonly file: string;
  /** Of the programs' versions and of the images: of all on it but this checkout. */
  readonly digest: string;
};

/** A disk with this checkout as it is, CRI-O, critest, runc, and the images that critest pulls. */
export async function critestDisk(request: DiskRequest): Promise<CritestDisk> {
  const { directory, onStep, signal } = request;
  const tree = join(directory, "work-tree");
  mkdirSync(join(tree, "caches"), { recursive: true });
  const path = await critestBinaries({ log: onStep, signal });
  onStep("this checkout");
  await copyRepository(join(tree, "repository"));
  onStep("the images that critest pulls");
  await makeCritest(request, path, join(tree, "critest"));
  const digest = new Bun.CryptoHasher("sha256")
    .update(path)
    .update(readFileSync(join(tree, "critest/images/index.json")))
    .digest("hex");
  onStep("the disk of all that");
  const disk = join(directory, "work.ext4");
  await makeFilesystem(disk, DISK_SIZE, tree);
  await run(["rm", "-rf", tree]);
  return { file: disk, digest: digest.slice(0, 16) };
}

/** Programs, CNI plugins, images as an OCI layout and the package that fixes them, below `target`. */
export async function makeCritest(
  { cache, directory, onStep }: DiskRequest,
  path: string,
  target: string,
): Promise<void> {
  const bin = join(target, "bin");
  mkdirSync(bin, { recursive: true });
  for (const name of ["crio", "pinns", "crictl", "runc"]) copyFileSync(which(name, path), join(bin, name));
  cpSync(CNI_PLUGINS, join(target, "cni"), { recursive: true });
  const busybox = await upstreamBusybox(cache, onStep);
  const applets = (await run([busybox, "--list"])).stdout.toString().trim().split("\n");
  const nginxRoot = join(directory, "nginx-root");
  const images = critestImages({
    busybox,
    applets,
    pause: await staticProgram("pause", directory),
    nonewprivs: await staticProgram("nonewprivs", directory),
    nginx: await nginxFiles(nginxRoot),
  });
  await run(["rm", "-rf", nginxRoot]);
  const layout = join(target, "images");
  mkdirSync(layout);
  writeLayout(layout, images);
  const critest = withDigest(readFileSync(which("critest", path)), digestOf(layout));
  writeFileSync(join(bin, "critest"), critest);
  chmodSync(join(bin, "critest"), 0o755);
}

function which(name: string, path: string): string {
  const found = Bun.which(name, { PATH: path });
  if (found === null) throw new AtomfsError("failed", `There is no ${name} in ${path}`);
  return found;
}

type Index = {
  readonly manifests: readonly {
    readonly digest: string;
    readonly annotations: Readonly<Record<string, string>>;
  }[];
};

function digestOf(layout: string): string {
  const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as Index;
  const own = manifests.find(({ annotations }) =>
    Object.values(annotations).includes(`${DIGEST_REPOSITORY}:latest`),
  );
  if (own === undefined) throw new AtomfsError("failed", `The layout lacks ${DIGEST_REPOSITORY}`);
  return own.digest.replace("sha256:", "");
}

/** critest that pulls our image where it pulls one by a digest: the one change to it. */
export function withDigest(critest: Buffer, digest: string): Buffer {
  const changed = Buffer.from(critest);
  let at = changed.indexOf(UNOBTAINABLE_DIGEST);
  if (at < 0)
    throw new AtomfsError("failed", "critest does not pull the digest that it pulled when this was written");
  for (; at >= 0; at = changed.indexOf(UNOBTAINABLE_DIGEST, at)) changed.write(digest, at, "latin1");
  return changed;
}
