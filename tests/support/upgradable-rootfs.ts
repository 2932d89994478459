import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { copyTree, installPackages, minbase } from "../../scripts/demo/debian-tree.ts";
import { downloadPackages } from "./debian-rootfs.ts";

const CACHE = "/var/cache/atomfs-dev";

/**
 * Packages of Debian 12's main archive that have newer versions in its security archive, and what they need. Grouped as
 * they are fixed together: binaries of one source.
 */
export const UPGRADABLE: readonly (readonly string[])[] = [
  ["libexpat1", "expat"],
  ["imagemagick-6-common"],
  ["jq", "libjq1"],
  ["libdbi-perl"],
  ["liblzma5"],
  ["libpcre2-8-0"],
  ["libbrotli1", "brotli"],
  ["libevent-2.1-7"],
  ["libjbig2dec0"],
  ["libgpgme11"],
  ["libaprutil1"],
  ["libarchive13"],
  ["libde265-0"],
  ["libgsasl18"],
  ["libpng16-16"],
  ["libgit2-1.5"],
];

/** The same with maintainer scripts that do something: examples of a refusal. */
export const REFUSED: readonly (readonly string[])[] = [["apt"], ["xz-utils"], ["libio-compress-perl"]];

/**
 * A Debian 12 root directory with old versions of all of them, made once a machine. Must not be changed: copy it.
 * Takes two to three minutes the first time.
 */
export async function upgradableRootfs(): Promise<string> {
  // The name changes with the list, so that a longer list makes a new directory.
  const packages = [...UPGRADABLE, ...REFUSED].flat();
  const key = new Bun.CryptoHasher("sha256").update(packages.join(" ")).digest("hex").slice(0, 12);
  const done = join(CACHE, `rootfs-upgradable-${key}`);
  if (existsSync(done)) return done;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, `tmp-${process.pid}-`));
  try {
    const base = await minbase("upgradable", work, { cacheDir: CACHE, log: () => {} });
    const tree = join(work, "tree");
    mkdirSync(tree, { mode: 0o755 });
    await copyTree(base, tree, undefined);
    await installPackages(base, tree, packages, undefined);
    renameSync(tree, done);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return done;
}

/** The newest package files of these packages, downloaded once a machine. */
export function fixedPackages(names: readonly string[]): Promise<string[]> {
  return downloadPackages(names);
}

/** The version of a package in a root directory; undefined if it isn't in its database. */
export function installedVersion(rootfs: string, name: string): string | undefined {
  const status = readFileSync(join(rootfs, "var/lib/dpkg/status"), "latin1");
  const stanza = status.split("\n\n").find((text) => text.startsWith(`Package: ${name}\n`));
  return stanza === undefined ? undefined : /^Version: (.*)$/m.exec(stanza)?.[1];
}
