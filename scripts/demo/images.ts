import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";
import {
  type BuildOptions,
  copyTree,
  installPackages,
  type Minbase,
  minbase,
  packageVersion,
  renameUnlessThere,
  SUITE,
} from "./debian-tree.ts";

/** What the demo fixes, and the version that Debian 12 was released with and that has the hole. */
export const VULNERABLE_PACKAGE = "libexpat1";
export const VULNERABLE_VERSION = "2.5.0-1+deb12u2";

/** Outside of the checkout, so that it survives a fresh one and no tool looks into it. */
export const DEFAULT_CACHE_DIR = "/var/cache/atomfs-demo";

export type DemoImageName = "web" | "feed" | "plain";
export type DemoImage = {
  readonly name: DemoImageName;
  /** Directory of the OCI layout. */
  readonly layout: string;
  readonly tag: string;
  /** `oci:DIR:TAG`, as skopeo, podman and atomfs take it. */
  readonly source: string;
};
export type DemoImages = Readonly<Record<DemoImageName, DemoImage>>;

type Layer = { readonly createdBy: string; readonly fill: (rootfs: string) => Promise<void> };
type Recipe = {
  readonly name: DemoImageName;
  readonly description: string;
  readonly hasVulnerablePackage: boolean;
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly layers: readonly Layer[];
};

const TAG = "1.0";
const SERVICES = join(import.meta.dir, "services");
const SOURCES = [
  ...["images.ts", "debian-tree.ts"].map((name) => join(import.meta.dir, name)),
  ...["web.py", "feed.py", "plain.pl"].map((name) => join(SERVICES, name)),
];

async function digestOfFiles(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256").update(`${SUITE}\n${process.arch}\n`);
  for (const path of paths) hash.update(await readFile(path)).update("\0");
  return hash.digest("hex").slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function addService(rootfs: string, file: string, target: string): Promise<void> {
  const path = join(rootfs, target);
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await copyFile(join(SERVICES, file), path);
  await chmod(path, 0o644);
}

/** Three images: the library in the base, the library in a middle layer over another base, no library. */
function recipes(base: Minbase, signal: AbortSignal | undefined): readonly Recipe[] {
  const python = ["PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"];
  return [
    {
      name: "web",
      description: "Web service that counts the elements of XML documents",
      hasVulnerablePackage: true,
      command: ["python3", "/srv/web/server.py"],
      env: python,
      workingDir: "/srv/web",
      layers: [
        {
          createdBy: "debootstrap minbase, python3 and its standard library",
          fill: async (rootfs) => {
            await copyTree(base, rootfs, signal);
            await installPackages(base, rootfs, ["python3-minimal", "libpython3-stdlib"], signal);
          },
        },
        {
          createdBy: "add server.py",
          fill: (rootfs) => addService(rootfs, "web.py", "srv/web/server.py"),
        },
      ],
    },
    {
      name: "feed",
      description: "Checker for RSS and Atom feeds",
      hasVulnerablePackage: true,
      command: ["/usr/bin/python3", "/opt/feed/check.py"],
      env: [...python, "LANG=C.UTF-8"],
      workingDir: "/opt/feed",
      layers: [
        { createdBy: "debootstrap minbase", fill: (rootfs) => copyTree(base, rootfs, signal) },
        {
          createdBy: "apt-get install expat python3-minimal",
          fill: (rootfs) => installPackages(base, rootfs, ["expat", "python3-minimal"], signal),
        },
        { createdBy: "add check.py", fill: (rootfs) => addService(rootfs, "feed.py", "opt/feed/check.py") },
      ],
    },
    {
      name: "plain",
      description: "Service without any XML",
      hasVulnerablePackage: false,
      command: ["perl", "/srv/plain/server.pl"],
      env: [],
      workingDir: "/",
      layers: [
        {
          createdBy: "debootstrap minbase",
          fill: async (rootfs) => {
            await copyTree(base, rootfs, signal);
          },
        },
        {
          createdBy: "add server.pl",
          fill: (rootfs) => addService(rootfs, "plain.pl", "srv/plain/server.pl"),
        },
      ],
    },
  ];
}

async function checkVulnerable(recipe: Recipe, rootfs: string): Promise<void> {
  const version = await packageVersion(rootfs, VULNERABLE_PACKAGE);
  const wanted = recipe.hasVulnerablePackage ? VULNERABLE_VERSION : undefined;
  if (version === wanted) return;
  throw new AtomfsError(
    "unsupported",
    `Cannot build the demo image ${recipe.name}: it has ${VULNERABLE_PACKAGE} ${version ?? "not at all"}, ` +
      `the demo wants ${wanted ?? "none"} (Debian's ${SUITE} archive has moved on)`,
  );
}

function configOptions(recipe: Recipe): string[] {
  const options = [
    "--config.user=www-data",
    "--config.exposedports=8080/tcp",
    "--config.stopsignal=SIGTERM",
    `--config.workingdir=${recipe.workingDir}`,
    "--config.env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    `--config.label=org.opencontainers.image.title=${recipe.name}`,
    `--config.label=org.opencontainers.image.description=${recipe.description}`,
    `--config.label=org.opencontainers.image.version=${TAG}`,
    "--author=AtomFS demo",
  ];
  for (const variable of recipe.env) options.push(`--config.env=${variable}`);
  for (const word of recipe.command) options.push(`--config.cmd=${word}`);
  return options;
}

/** Writes the image as an OCI layout below `work`, then moves it to `layout` in one step. */
async function buildImage(
  recipe: Recipe,
  work: string,
  layout: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const umoci = (...args: string[]): Promise<unknown> =>
    run(["umoci", ...args], signal === undefined ? {} : { signal });
  const half = join(work, `${recipe.name}-layout`);
  const bundle = join(work, `${recipe.name}-bundle`);
  const rootfs = join(bundle, "rootfs");
  const image = `${half}:${TAG}`;
  await umoci("init", "--layout", half);
  await umoci("new", "--image", image);
  await umoci("unpack", "--image", image, bundle);
  for (const layer of recipe.layers) {
    await layer.fill(rootfs);
    const history = ["--history.author=AtomFS demo", `--history.created_by=${layer.createdBy}`];
    await umoci("repack", "--refresh-bundle", ...history, "--image", image, bundle);
  }
  await checkVulnerable(recipe, rootfs);
  const history = ["--history.author=AtomFS demo", `--history.created_by=CMD ${recipe.command.join(" ")}`];
  await umoci("config", ...configOptions(recipe), ...history, "--image", image);
  await umoci("gc", "--layout", half);
  await rm(bundle, { recursive: true, force: true });
  await mkdir(dirname(layout), { recursive: true });
  await renameUnlessThere(half, layout);
}

/** Removes what an earlier build left that was killed: its directory carries its process id. */
async function removeAbandoned(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    const pid = /^tmp-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || (Number(pid) !== process.pid && (await exists(`/proc/${pid}`)))) continue;
    await rm(join(cacheDir, name), { recursive: true, force: true });
  }
}

/**
 * The demo's images as OCI layouts, from the cache or built now from the Debian archive of this machine's apt
 * configuration. Needs root, debootstrap and umoci. What was finished stays, so an interrupted build continues; a change of
 * the recipes makes new images.
 * @throws AtomfsError "unsupported" if a tool is missing or the archive no longer has the vulnerable version, "interrupted"
 */
export async function buildDemoImages(options: BuildOptions): Promise<DemoImages> {
  const { cacheDir, log, signal } = options;
  const key = await digestOfFiles(SOURCES);
  const image = (name: DemoImageName): DemoImage => {
    const layout = join(cacheDir, `images-${key}`, name);
    return { name, layout, tag: TAG, source: `oci:${layout}:${TAG}` };
  };
  const images: DemoImages = { web: image("web"), feed: image("feed"), plain: image("plain") };
  const missing: DemoImage[] = [];
  for (const wanted of Object.values(images)) if (!(await exists(wanted.layout))) missing.push(wanted);
  if (missing.length === 0) return images;

  await mkdir(cacheDir, { recursive: true, mode: 0o755 });
  await removeAbandoned(cacheDir);
  const work = await mkdtemp(join(cacheDir, `tmp-${process.pid}-`));
  try {
    const base = await minbase(await digestOfFiles([join(import.meta.dir, "debian-tree.ts")]), work, options);
    for (const recipe of recipes(base, signal)) {
      if (!missing.includes(images[recipe.name])) continue;
      log(`Building image ${recipe.name}`);
      await buildImage(recipe, work, images[recipe.name].layout, signal);
    }
  } finally {
    await rm(work, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
  return images;
}
