import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import type { ReleaseFile } from "../formats/apt/release.ts";
import { fsyncDirectory, readFileBounded, writeAtomic } from "../sys/files.ts";

/** The signed text of the newest Release of each source; uncompressed Packages; packages. The last two by SHA-256. */
export type CacheKind = "releases" | "indexes" | "debs";

const MAX_RELEASE = 32 * 1024 * 1024;

/** Files that were verified once. Only whole, verified files ever get a name here; hashed ones are checked at each use. */
export class AptCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    for (const kind of ["releases", "indexes", "debs"] as const) {
      mkdirSync(join(directory, kind), { recursive: true, mode: 0o700 });
    }
    fsyncDirectory(directory);
  }

  /** The Release of a source, by a digest of its address, as it was last believed. */
  readRelease(key: string): Buffer | undefined {
    const path = join(this.#directory, "releases", key);
    return existsSync(path) ? readFileBounded(path, MAX_RELEASE) : undefined;
  }

  writeRelease(key: string, text: Uint8Array): void {
    writeAtomic(join(this.#directory, "releases", key), text, { mode: 0o600 });
  }

  pathOf(kind: "indexes" | "debs", file: ReleaseFile): string {
    return join(this.#directory, kind, kind === "debs" ? `${file.sha256}.deb` : file.sha256);
  }

  /** The bytes of a file, if it is here and still what its name says; a damaged one is removed. */
  read(kind: "indexes" | "debs", file: ReleaseFile): Buffer | undefined {
    const path = this.pathOf(kind, file);
    if (!existsSync(path)) return undefined;
    try {
      const bytes = readFileBounded(path, file.size);
      checkFile(bytes, file, path);
      return bytes;
    } catch (error) {
      if (!(error instanceof AtomfsError)) throw error;
      rmSync(path);
      return undefined;
    }
  }

  /** @throws AtomfsError "untrusted" if the bytes are not what the signed index promises; then nothing is kept */
  write(kind: "indexes" | "debs", file: ReleaseFile, bytes: Uint8Array, name: string): string {
    checkFile(bytes, file, name);
    const path = this.pathOf(kind, file);
    writeAtomic(path, bytes, { mode: 0o600 });
    return path;
  }
}

/** @throws AtomfsError "untrusted" */
export function checkFile(bytes: Uint8Array, file: ReleaseFile, name: string): void {
  const bad = (why: string): AtomfsError =>
    new AtomfsError("untrusted", `Cannot trust ${name}: ${why}`, {
      hints: ["the mirror may be in the middle of an update: try again; else it was tampered with"],
    });
  if (bytes.length !== file.size) throw bad(`it has ${bytes.length} bytes, the signed size is ${file.size}`);
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual !== file.sha256) throw bad(`its SHA-256 is ${actual}, the signed one is ${file.sha256}`);
}
