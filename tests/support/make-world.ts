/**
 * make-world DIRECTORY [VERSION]: what a test of the command line needs, in a new directory:
 *   images/   an OCI layout with the images of `syntheticImages`
 *   archive/  an apt archive with the fixed packages (of another version, if one is named), signed
 *   machine/  for ATOMFS_APT_ROOT: apt sources and keys that lead to archive/
 */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { Keys } from "../privileged/apt-archive.ts";
import {
  ARCHITECTURE,
  architectureOf,
  debFile,
  demoData,
  demoTools,
  libdemo,
  libdemoDev,
  NEW_VERSION,
  type SyntheticPackage,
  sourceField,
  syntheticImages,
  writeLayout,
} from "./synthetic-images.ts";

/** A key made now has its date; an archive must not be signed before its key. */
const SIGNED_BEFORE_MS = 60_000;

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function stanza(archive: string, each: SyntheticPackage): string {
  const bytes = debFile(each);
  const name = `pool/${each.name}_${each.version.replace(/^\d+:/, "")}_${architectureOf(each)}.deb`;
  writeFileSync(join(archive, name), bytes);
  const depends = each.depends === undefined ? "" : `Depends: ${each.depends}\n`;
  return (
    `Package: ${each.name}\n${sourceField(each)}Version: ${each.version}\nArchitecture: ${architectureOf(each)}\n` +
    `${depends}Filename: ${name}\nSize: ${bytes.length}\nSHA256: ${sha256(bytes)}\nDescription: synthetic\n`
  );
}

async function writeArchive(archive: string, keys: Keys, version: string): Promise<void> {
  const suite = join(archive, "dists/bookworm-security");
  const folder = `main/binary-${ARCHITECTURE}`;
  mkdirSync(join(suite, folder), { recursive: true });
  mkdirSync(join(archive, "pool"), { recursive: true });
  const packages = [libdemo, demoTools, libdemoDev, demoData].map((make) => make(version));
  const plain = Buffer.from(packages.map((each) => stanza(archive, each)).join("\n"));
  const packed = gzipSync(plain);
  writeFileSync(join(suite, folder, "Packages.gz"), packed);
  const line = (bytes: Buffer, name: string): string =>
    ` ${sha256(bytes)} ${bytes.length} ${folder}/${name}\n`;
  const release =
    "Origin: Synthetic\nSuite: stable-security\nCodename: bookworm-security\n" +
    `Date: ${new Date(Date.now() - SIGNED_BEFORE_MS).toUTCString()}\nArchitectures: ${ARCHITECTURE}\n` +
    `Components: main\nSHA256:\n${line(plain, "Packages")}${line(packed, "Packages.gz")}`;
  writeFileSync(join(suite, "InRelease"), await keys.clearSign("archive", release));
}

export async function makeWorld(target: string, version: string = NEW_VERSION): Promise<void> {
  const root = resolve(target);
  mkdirSync(join(root, "machine/etc/apt/sources.list.d"), { recursive: true });
  writeLayout(join(root, "images"), syntheticImages());
  const keys = new Keys();
  try {
    await keys.make("archive");
    await writeArchive(join(root, "archive"), keys, version);
    writeFileSync(join(root, "machine/archive.asc"), await keys.exportKey("archive", "armored"));
    writeFileSync(
      join(root, "machine/etc/apt/sources.list.d/synthetic.sources"),
      `Types: deb\nURIs: file:${join(root, "archive")}\nSuites: bookworm-security\nComponents: main\n` +
        "Signed-By: /archive.asc\n",
    );
  } finally {
    await keys.close();
  }
}

if (import.meta.main) {
  const [target, version] = process.argv.slice(2);
  if (target === undefined) throw new Error("make-world DIRECTORY [VERSION]");
  await makeWorld(target, version);
}
