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
const CACHE = process.env["ATOMFS_DEV_CACHE"] ?? "/var/cache/atomfs-dev";
const PACKAGES = ["composefs", "libcomposefs1", "libssl3t64", "libc6"] as const;
const SUITE = "sid";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** A command line of the real composefs's tools, to which arguments are appended. */
export type ComposefsTools = {
  readonly mkcomposefs: readonly [string, ...string[]];
  readonly composefsInfo: readonly [string, ...string[]];
};

/**
 * Debian's composefs tools with their own libraries and loader, downloaded (apt checks the signatures) if they are not in the
 * cache. Nothing of the machine's own package state is touched.
 * @throws AtomfsError if they cannot be had or don't run
 */
export async function composefsTools(): Promise<ComposefsTools> {
  const folder = join(CACHE, "composefs");
  const root = join(folder, "root");
  if (!existsSync(root)) await download(folder, root);
  const libraries = join(root, "usr/lib", `${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`);
  const loader = readdirSync(libraries).find((file) => /^ld-linux.*\.so\.\d+$/.test(file));
  if (loader === undefined) throw new AtomfsError("unsupported", `No dynamic loader in ${libraries}`);
  const command = (tool: string): readonly [string, ...string[]] => [
    join(libraries, loader),
    "--library-path",
    libraries,
    join(root, "usr/bin", tool),
  ];
  const tools = { mkcomposefs: command("mkcomposefs"), composefsInfo: command("composefs-info") };
  await run([...tools.mkcomposefs, "--help"], { okCodes: [0, 1] });
  return tools;
}

async function download(folder: string, root: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, "download-"));
  try {
    for (const part of ["lists/partial", "cache/archives/partial", "parts", "root"]) {
      mkdirSync(join(work, part), { recursive: true });
    }
    const sources = join(work, "sources.list");
    writeFileSync(sources, `deb [signed-by=${KEYRING}] ${machineMirror()} ${SUITE} main\n`);
    const options = [
      `Dir::Etc::sourcelist=${sources}`,
      `Dir::Etc::sourceparts=${work}/parts`,
      `Dir::State::lists=${work}/lists`,
      `Dir::Cache=${work}/cache`,
      "APT::Sandbox::User=root",
      "Acquire::Languages=none",
    ].flatMap((option) => ["-o", option]);
    await run(["apt-get", ...options, "-qq", "update"], { cwd: work });
    await run(["apt-get", ...options, "-qq", "download", ...PACKAGES], { cwd: work });
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
