import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ByteString } from "../../src/core/bytestring.ts";
import { download } from "../../src/fixing/apt-transport.ts";
import { run } from "../../src/sys/process.ts";
import { archiveOf } from "../support/debian-rootfs.ts";

const SUITES = ["bookworm", "bookworm-updates", "bookworm-security"] as const;
const INDEX = "main/binary-amd64/Packages.xz";
const MAX_INDEX = 64 * 1024 * 1024;
const MAX_PACKAGE = 256 * 1024 * 1024;

/**
 * The part of Debian's archive that a guest without network fixes packages from, under `directory`/SUITE: each suite's own
 * InRelease and index as Debian signed them, and the files of these packages alone.
 */
export async function copyArchive(directory: string, packages: readonly string[]): Promise<void> {
  for (const suite of SUITES) {
    const uri = (await archiveOf(suite)) as ByteString;
    const put = (path: string, bytes: Uint8Array): string => {
      const target = join(directory, suite, path);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, bytes);
      return target;
    };
    const fetch = (path: string, maxBytes: number): Promise<Buffer> =>
      download(uri, path as ByteString, { maxBytes });
    const release = await fetch(`dists/${suite}/InRelease`, MAX_INDEX);
    put(`dists/${suite}/InRelease`, release);
    const index = await fetch(`dists/${suite}/${INDEX}`, MAX_INDEX);
    const file = put(`dists/${suite}/${INDEX}`, index);
    const digest = new Bun.CryptoHasher("sha256").update(index).digest("hex");
    const byHash = join(dirname(file), "by-hash/SHA256", digest);
    mkdirSync(dirname(byHash), { recursive: true });
    linkSync(file, byHash);
    const text = (await run(["xz", "-dc", file])).stdout.toString("latin1");
    for (const path of packageFiles(text, packages)) put(path, await fetch(path, MAX_PACKAGE));
  }
}

/** The paths of these packages' files in the text of a Packages index. */
export function packageFiles(index: string, packages: readonly string[]): string[] {
  return index.split("\n\n").flatMap((stanza) => {
    const name = /^Package: (.*)$/m.exec(stanza)?.[1] ?? "";
    const file = /^Filename: (.*)$/m.exec(stanza)?.[1];
    return file !== undefined && packages.includes(name) ? [file] : [];
  });
}
