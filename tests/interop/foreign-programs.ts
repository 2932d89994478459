import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../../src/core/errors.ts";
import { run } from "../../src/sys/process.ts";

/** Outside of the checkout, kept between runs. */
export const DEV_CACHE: string = process.env["ATOMFS_DEV_CACHE"] ?? "/var/cache/atomfs-dev";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

export type Command = readonly [string, ...string[]];

/** Packages of another Debian release, with all libraries that their programs need. */
export type ForeignPackages = {
  /** Of the folder in the cache. */
  readonly name: string;
  readonly suite: "bookworm-backports" | "trixie" | "sid";
  readonly packages: readonly string[];
};

/**
 * Programs of another Debian release with their own libraries and loader, downloaded (apt checks the signatures) if they are not
 * in the cache. Nothing of the machine's own package state is touched.
 * @returns for a program's path in its package ("usr/bin/crun") the command line to which arguments are appended
 * @throws AtomfsError if they cannot be had
 */
export async function foreignPrograms(wanted: ForeignPackages): Promise<(program: string) => Command> {
  const root = await unpackedPackages(wanted);
  const libraries = join(root, "usr/lib", `${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`);
  const loader = readdirSync(libraries).find((file) => /^ld-linux.*\.so\.\d+$/.test(file));
  if (loader === undefined) throw new AtomfsError("unsupported", `No dynamic loader in ${libraries}`);
  return (program) => [join(libraries, loader), "--library-path", libraries, join(root, program)];
}

/**
 * The same packages for programs that bring all they need: one directory that holds them beside each other.
 * @throws AtomfsError if they cannot be had
 */
export async function unpackedPackages(wanted: ForeignPackages): Promise<string> {
  const folder = join(DEV_CACHE, wanted.name);
  const root = join(folder, "root");
  if (!existsSync(root)) await download(wanted, folder, root);
  return root;
}

async function download(wanted: ForeignPackages, folder: string, root: string): Promise<void> {
  const { suite, packages } = wanted;
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, "download-"));
  try {
    for (const part of ["lists/partial", "cache/archives/partial", "parts", "root"]) {
      mkdirSync(join(work, part), { recursive: true });
    }
    const sources = join(work, "sources.list");
    writeFileSync(sources, `deb [signed-by=${KEYRING}] ${machineMirror()} ${suite} main\n`);
    const options = [
      `Dir::Etc::sourcelist=${sources}`,
      `Dir::Etc::sourceparts=${work}/parts`,
      `Dir::State::lists=${work}/lists`,
      `Dir::Cache=${work}/cache`,
      "APT::Sandbox::User=root",
      "Acquire::Languages=none",
    ].flatMap((option) => ["-o", option]);
    await run(["apt-get", ...options, "-qq", "update"], { cwd: work });
    await run(["apt-get", ...options, "-qq", "download", ...packages], { cwd: work });
    for (const file of readdirSync(work).filter((name) => name.endsWith(".deb"))) {
      await run(["dpkg", "-x", join(work, file), join(work, "root")]);
    }
    // Whoever else downloads at the same time has made the same: the first rename wins.
    if (!existsSync(root)) renameSync(join(work, "root"), root);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The mirror that this machine's own apt uses, in either form of its configuration. */
function machineMirror(): string {
  const folder = "/etc/apt/sources.list.d";
  const files = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  for (const file of ["/etc/apt/sources.list", ...files]) {
    if (!existsSync(file)) continue;
    const match = /^(?:URIs:\s*|deb\s+(?:\[[^\]]*\]\s*)?)(\S+\/debian\/?)(?:\s|$)/m.exec(
      readFileSync(file, "utf8"),
    );
    if (match?.[1] !== undefined) return match[1];
  }
  throw new AtomfsError("unsupported", "apt's configuration names no Debian mirror", {
    hints: ["put one into /etc/apt/sources.list"],
  });
}
