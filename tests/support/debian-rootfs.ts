import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { run } from "../../src/sys/process.ts";

const CACHE = "/var/cache/atomfs-dev";
const ROOTFS = `${CACHE}/rootfs-minbase`;
const PACKAGES = `${CACHE}/debs`;

/**
 * The archive that this machine installs a release of Debian from ("bookworm", "bookworm-security"); no mirror is ever named in
 * the repository.
 */
export async function archiveOf(codename: string): Promise<string> {
  const { stdout } = await run(["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)"]);
  const line = stdout
    .toString()
    .split("\n")
    .find((text) => text.startsWith(`${codename} `));
  if (line === undefined) throw new Error(`This machine's apt knows no archive with ${codename}`);
  return line.slice(codename.length).trim();
}

/** A minimal Debian 12 root directory, made once a machine. Must not be changed: `copyRootfs` makes copies. */
export async function debianRootfs(): Promise<string> {
  if (existsSync(ROOTFS)) return ROOTFS;
  mkdirSync(CACHE, { recursive: true });
  const unfinished = `${ROOTFS}.${process.pid}`;
  try {
    await run(["debootstrap", "--variant=minbase", "bookworm", unfinished, await archiveOf("bookworm")]);
    renameSync(unfinished, ROOTFS);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return ROOTFS;
}

export async function copyRootfs(target: string): Promise<void> {
  await run(["cp", "-a", "--reflink=auto", await debianRootfs(), target]);
}

/** The newest .deb files of these packages that apt offers, downloaded once a machine. */
export async function downloadPackages(names: readonly string[]): Promise<string[]> {
  mkdirSync(PACKAGES, { recursive: true });
  const files: string[] = [];
  for (const name of names) {
    const file = `${PACKAGES}/${name}.deb`;
    if (!existsSync(file)) {
      const directory = `${PACKAGES}/${name}.${process.pid}`;
      mkdirSync(directory);
      try {
        await run(["apt-get", "-o", "APT::Sandbox::User=root", "download", name], { cwd: directory });
        await run(["sh", "-c", `mv "$1"/*.deb "$2"`, "sh", directory, file]);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    }
    files.push(file);
  }
  return files;
}

export async function unpackPackages(root: string, names: readonly string[]): Promise<void> {
  for (const file of await downloadPackages(names)) {
    // --keep-directory-symlink: /lib stays a link to usr/lib.
    await run([
      "sh",
      "-c",
      `dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"`,
      "sh",
      file,
      root,
    ]);
  }
}
