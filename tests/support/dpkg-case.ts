import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { CheckResult } from "../../src/fixing/checks.ts";
import type { ImageRecord } from "../../src/store/records.ts";
import { run } from "../../src/sys/process.ts";
import { debianRootfs } from "./debian-rootfs.ts";
import { copyDirectory, inChroot } from "./dpkg-reference.ts";
import type { FixLab } from "./fix-lab.ts";
import { type DebSpec, makeDeb } from "./make-deb.ts";
import { readDirectory, treeDifferences, unexcused } from "./tree-differences.ts";

export type DpkgCase = {
  /** Installed before; the order is the order of installation. */
  readonly installed: readonly DebSpec[];
  /** What the image does to its files afterwards. */
  readonly edit?: (root: string) => void | Promise<void>;
  readonly fix: readonly DebSpec[];
  /** Lines of the image's own dpkg.cfg. */
  readonly options?: readonly string[];
};

export type DpkgCaseResult = {
  /** Where the fixed molecule is not what dpkg makes; undefined if dpkg refuses. */
  readonly differences: readonly string[] | undefined;
  readonly results: readonly CheckResult[];
};

const PROGRAMS = ["sh", "dpkg", "dpkg-deb", "dpkg-divert", "dpkg-split", "dpkg-query", "diff", "rm", "tar"];
const SYSTEM_PROGRAMS = ["ldconfig", "start-stop-daemon"];
/** Nobody is there to answer: edited conffiles stay. */
const KEEP_EDITED = ["--force-confdef", "--force-confold"];
const GENERATED_MD5SUMS = {
  path: "/var/lib/dpkg/info/*.md5sums",
  facts: ["mtime"],
  reason: "generated: this package has none",
};

/** A root directory with Debian 12's dpkg, what it needs, an empty package database, and nothing else. */
export async function makeSmallRoot(target: string): Promise<void> {
  const rootfs = await debianRootfs();
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    mkdirSync(join(target, "usr", name), { recursive: true });
    symlinkSync(`usr/${name}`, join(target, name));
  }
  for (const name of ["info", "updates", "triggers"])
    mkdirSync(join(target, "var/lib/dpkg", name), { recursive: true });
  for (const name of ["dev", "proc", "mnt", "etc/dpkg/dpkg.cfg.d", "var/log"])
    mkdirSync(join(target, name), { recursive: true });
  const programs = [
    ...PROGRAMS.map((name) => `/usr/bin/${name}`),
    ...SYSTEM_PROGRAMS.map((name) => `/usr/sbin/${name}`),
  ];
  const { stdout } = await run(["chroot", rootfs, "ldd", ...programs], { okCodes: [0, 1] });
  const libraries = [...stdout.toString().matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
  for (const path of new Set([...programs, ...libraries])) {
    const merged = path.startsWith("/usr/") ? path : `/usr${path}`;
    mkdirSync(dirname(join(target, merged)), { recursive: true });
    cpSync(join(rootfs, path), join(target, merged), { dereference: true, preserveTimestamps: true });
  }
  writeFileSync(join(target, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/:/bin/sh\n");
  writeFileSync(join(target, "etc/group"), "root:x:0:\nwww:x:33:\nadm:x:4:\n");
  for (const name of ["status", "available"]) writeFileSync(join(target, "var/lib/dpkg", name), "");
}

export async function installSpecs(root: string, debs: string, specs: readonly DebSpec[]): Promise<string[]> {
  const files: string[] = [];
  for (const spec of specs) {
    const file = await makeDeb(debs, spec);
    await inChroot(root, debs, ["dpkg", ...KEEP_EDITED, "-i", join("/mnt", file.slice(debs.length + 1))]);
    files.push(file);
  }
  return files;
}

/** Installs, edits, then lets AtomFS and dpkg upgrade the same small root directory. */
export async function runDpkgCase(lab: FixLab, smallRoot: string, each: DpkgCase): Promise<DpkgCaseResult> {
  const debs = lab.newDirectory("debs");
  const root = join(lab.newDirectory("image"), "root");
  await copyDirectory(smallRoot, root);
  if (each.options !== undefined)
    writeFileSync(join(root, "etc/dpkg/dpkg.cfg.d/case"), each.options.map((line) => `${line}\n`).join(""));
  await installSpecs(root, debs, each.installed);
  await each.edit?.(root);

  const { image } = await lab.importDirectory(`case-${crypto.randomUUID().slice(0, 8)}`, root);
  const files: string[] = [];
  for (const spec of each.fix) files.push(await makeDeb(debs, spec));
  const result = await compareWithDpkg(
    lab,
    image,
    root,
    files,
    each.fix.some((spec) => spec.noMd5sums),
  );
  for (const directory of [debs, dirname(root)]) rmSync(directory, { recursive: true });
  return result;
}

/** The fixed molecule of an image against `dpkg -i` in a copy of the directory that the image was made of. */
export async function compareWithDpkg(
  lab: FixLab,
  image: ImageRecord,
  root: string,
  files: readonly string[],
  hasGeneratedMd5sums = false,
): Promise<DpkgCaseResult> {
  const evaluation = lab.evaluate(image, [await lab.makeRule(image, files)]);
  const reference = join(lab.newDirectory("reference"), "root");
  await copyDirectory(root, reference);
  const debs = dirname(files[0] ?? "");
  const names = files.map((file) => join("/mnt", file.slice(debs.length + 1)));
  const argv = ["dpkg", ...KEEP_EDITED, "-i", ...names];
  const { code } = await inChroot(reference, debs, argv, [0, 1]);
  const differences =
    code === 0
      ? unexcused(
          treeDifferences(lab.molecule(evaluation.molecule), readDirectory(reference).tree),
          "dpkg-exempt.json",
          hasGeneratedMd5sums ? [GENERATED_MD5SUMS] : [],
        )
      : undefined;
  rmSync(dirname(reference), { recursive: true });
  return { differences, results: evaluation.results };
}
