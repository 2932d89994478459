import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { run } from "../../src/sys/process.ts";
import { archiveOf } from "../support/debian-rootfs.ts";

/** Where packages come from: a release, and the releases that its archive has beside it. */
export type TreeRecipe = {
  readonly suite: "bookworm" | "trixie" | "sid";
  readonly beside: readonly ("bookworm-updates" | "bookworm-security" | "bookworm-backports")[];
  /** apt's names: "package" or "package/release". */
  readonly packages: readonly string[];
  /** "minbase": installed, as debootstrap does. "extract": unpacked with what they depend on, nothing is run. */
  readonly variant: "minbase" | "extract";
};

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** Named by this machine's own apt sources; the others lie in the archive that bookworm comes from. */
const OWN_ARCHIVE: readonly string[] = ["bookworm-security"];

/**
 * A root directory out of Debian's packages, through a private apt configuration with this machine's mirror. The mirror's
 * signatures are checked; how old it may be is not, because what is tested here is not its freshness.
 * @param target does not exist yet
 */
export async function makeTree(recipe: TreeRecipe, target: string, signal: AbortSignal): Promise<void> {
  const lines = await Promise.all(
    [recipe.suite, ...recipe.beside].map(async (suite) => {
      const uri = await archiveOf(OWN_ARCHIVE.includes(suite) ? suite : "bookworm");
      return `deb [signed-by=${KEYRING}] ${uri} ${suite} main\n`;
    }),
  );
  const argv = [
    ...["mmdebstrap", "--quiet", "--format=directory", `--variant=${recipe.variant}`],
    ...["--aptopt=Acquire::Check-Valid-Until false", "--aptopt=Acquire::Languages none"],
    ...[`--include=${recipe.packages.join(",")}`, recipe.suite, target, "-"],
  ] as const;
  await run(["setpriv", "--pdeathsig", "TERM", ...argv], { stdin: Buffer.from(lines.join("")), signal });
}

/** Longer than any run: what is younger may be in use. */
const FORGOTTEN_MS = 24 * 3600 * 1000;

/**
 * Something that takes long to make and never changes: `make` fills a directory beside it, which gets its name when it is
 * whole. What an earlier version of the recipe made is removed after a day.
 * @param directory ends with a dash and the version of the recipe
 */
export async function cached(directory: string, make: (work: string) => Promise<void>): Promise<string> {
  if (existsSync(directory)) return directory;
  const parent = dirname(directory);
  mkdirSync(parent, { recursive: true });
  const name = basename(directory).replace(/-[^-]*$/, "-");
  for (const other of readdirSync(parent).filter(
    (each) => /^tmp-|^run-/.test(each) || each.startsWith(name),
  )) {
    if (Date.now() - statSync(join(parent, other)).mtimeMs > FORGOTTEN_MS)
      rmSync(join(parent, other), { recursive: true, force: true });
  }
  const work = mkdtempSync(join(dirname(directory), `tmp-${process.pid}-`));
  try {
    await make(work);
    renameSync(work, directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return directory;
}
