import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { PACKAGES } from "../../scripts/debian-packages.mjs";
import { run } from "../../src/sys/process.ts";
import { loadOrder } from "./kernel-modules.ts";
import { ARCHIVE_PORT, type KernelName } from "./plan.ts";
import { cached, makeTree, type TreeRecipe } from "./trees.ts";

const GUEST = join(import.meta.dir, "guest");
/** What a machine has anyway. */
const MACHINE = [
  "systemd-sysv",
  "dbus",
  "kmod",
  "procps",
  "iproute2",
  "apparmor",
  "e2fsprogs",
  "netbase",
  "ca-certificates",
];
/** The drivers of the disks, of QEMU's virtio. */
const DISK_DRIVERS = ["virtio_pci", "virtio_blk"];
const UPDATES = ["bookworm-updates", "bookworm-security"] as const;

const ROOT: TreeRecipe = {
  suite: "bookworm",
  beside: UPDATES,
  variant: "minbase",
  packages: [...MACHINE, ...packagesFor(["demo", "test"])],
};

/** Debian's flavour for virtual machines: the same source and version as all others, with fewer drivers. */
const KERNELS: Readonly<Record<KernelName, TreeRecipe>> = {
  "6.1": { suite: "bookworm", beside: UPDATES, variant: "extract", packages: ["linux-image-cloud-amd64"] },
  "6.12": {
    suite: "bookworm",
    beside: ["bookworm-backports"],
    variant: "extract",
    packages: ["linux-image-cloud-amd64/bookworm-backports"],
  },
};

/** Of a file without data; what is not written takes no space. */
const DISK_SIZE = "12G";

export type RootDisk = { readonly disk: string; readonly kernel: string; readonly initrd: string };

function packagesFor(commands: readonly string[]): string[] {
  return PACKAGES.filter(([, users]) => users.split(" ").some((user) => commands.includes(user))).flatMap(
    ([names]) => names.split("|").slice(0, 1),
  );
}

/** Debian 12 with what the tests need, and the kernel: made once, then from the cache. Not to be written to. */
export async function rootDisk(
  cache: string,
  machine: { readonly kernel: KernelName; readonly verity: boolean },
  signal: AbortSignal,
): Promise<RootDisk> {
  const version = await keyOf();
  const tree = await cached(join(cache, `root-${version}`), (work) => makeRoot(work, signal));
  const kernel = await cached(join(cache, `kernel-${machine.kernel}-${version}`), (work) =>
    makeTree(KERNELS[machine.kernel], join(work, "tree"), signal),
  );
  const features = machine.verity ? "verity" : "plain";
  const done = await cached(join(cache, `disk-${machine.kernel}-${features}-${version}`), (work) =>
    makeDisk(work, join(tree, "tree"), join(kernel, "tree"), machine.verity),
  );
  return { disk: join(done, "disk"), kernel: join(done, "vmlinuz"), initrd: join(done, "initrd") };
}

/** Of all that decides what is in the disk. */
async function keyOf(): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256").update(JSON.stringify([ROOT, KERNELS]));
  for (const file of [import.meta.path, join(GUEST, "initrd-init"), join(GUEST, "atomfs-jobs.service")])
    hash.update(readFileSync(file));
  return hash.digest("hex").slice(0, 12);
}

async function makeRoot(work: string, signal: AbortSignal): Promise<void> {
  const tree = join(work, "tree");
  await makeTree(ROOT, tree, signal);
  const etc = (name: string): string => join(tree, "etc", name);
  writeFileSync(etc("hostname"), "atomfs-vm\n");
  writeFileSync(etc("hosts"), "127.0.0.1 localhost atomfs-vm\n");
  writeFileSync(etc("fstab"), "");
  writeFileSync(etc("apt/sources.list"), guestSources());
  writeFileSync(etc("apt/apt.conf.d/90atomfs-vm"), 'Acquire::Languages "none";\n');
  copyFileSync(join(GUEST, "atomfs-jobs.service"), etc("systemd/system/atomfs-jobs.service"));
  mkdirSync(etc("systemd/system/multi-user.target.wants"), { recursive: true });
  symlinkSync("../atomfs-jobs.service", etc("systemd/system/multi-user.target.wants/atomfs-jobs.service"));
  // Nobody logs in, and the console is the tests'; lxc's bridge and apt's timers have nothing to do.
  for (const unit of ["serial-getty@ttyS0.service", "getty@tty1.service", "lxc-net.service"])
    symlinkSync("/dev/null", etc(`systemd/system/${unit}`));
  for (const timer of ["apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer"])
    symlinkSync("/dev/null", etc(`systemd/system/${timer}`));
  rmSync(join(tree, "var/cache/apt/archives"), { recursive: true, force: true });
  mkdirSync(join(tree, "var/cache/apt/archives/partial"), { recursive: true });
}

/** The same suites as those of the host, on the guest's own loopback. */
function guestSources(): string {
  const options = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
  return ["bookworm", ...UPDATES]
    .map((suite) => `deb ${options} http://127.0.0.1:${ARCHIVE_PORT}/${suite} ${suite} main\n`)
    .join("");
}

async function makeDisk(work: string, root: string, kernel: string, verity: boolean): Promise<void> {
  const [release = ""] = readdirSync(join(kernel, "lib/modules"));
  const tree = join(work, "tree");
  await run(["cp", "-a", "--reflink=auto", "--link", root, tree]);
  mkdirSync(join(tree, "lib/modules"), { recursive: true });
  await run(["cp", "-a", join(kernel, "lib/modules", release), join(tree, "lib/modules")]);
  await run(["chroot", tree, "depmod", release]);
  copyFileSync(join(kernel, "boot", `vmlinuz-${release}`), join(work, "vmlinuz"));
  await makeInitrd(join(tree, "lib/modules", release), work);
  const features = verity ? ["-O", "verity"] : [];
  await makeFilesystem(join(work, "disk"), DISK_SIZE, tree, features);
  rmSync(tree, { recursive: true });
}

/** Busybox and the drivers of the disk: everything else is the root disk's own. */
async function makeInitrd(modules: string, work: string): Promise<void> {
  const root = join(work, "initrd-root");
  mkdirSync(join(root, "modules"), { recursive: true });
  mkdirSync(join(root, "bin"));
  copyFileSync(Bun.which("busybox") ?? "/bin/busybox", join(root, "bin/busybox"));
  copyFileSync(join(GUEST, "initrd-init"), join(root, "init"));
  chmodSync(join(root, "init"), 0o755);
  const order: string[] = [];
  for (const file of loadOrder(readFileSync(join(modules, "modules.dep"), "latin1"), DISK_DRIVERS)) {
    const name = basename(file).replace(/\.xz$/, "");
    const source = join(modules, file);
    const bytes = file.endsWith(".xz") ? (await run(["xz", "-dc", source])).stdout : readFileSync(source);
    writeFileSync(join(root, "modules", name), bytes);
    order.push(name);
  }
  writeFileSync(join(root, "modules/order"), order.map((name) => `${name}\n`).join(""));
  const pack = 'cd "$1" && find . | cpio -o -H newc --quiet | gzip -1 > "$2"';
  await run(["sh", "-ec", pack, "sh", root, join(work, "initrd")]);
  rmSync(root, { recursive: true });
}

/** An ext4 filesystem in a file, with what is in a directory. */
export async function makeFilesystem(
  file: string,
  size: string,
  content: string | undefined,
  options: readonly string[] = [],
): Promise<void> {
  const from = content === undefined ? [] : ["-d", content];
  await run([
    "mke2fs",
    "-q",
    "-t",
    "ext4",
    "-E",
    "lazy_itable_init=0,root_owner=0:0",
    ...options,
    ...from,
    file,
    size,
  ]);
}
