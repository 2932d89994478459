import { mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { objectSizesOf } from "../formats/erofs/reader.ts";
import { hasCode } from "../sys/ffi.ts";
import { writeAtomic } from "../sys/files.ts";

/** Thousands of objects are looked at: not at each container's start. */
const TRUSTED_MS = 10 * 60_000;

/**
 * Looks whether a molecule's objects are all there with their sizes, unless they were in the last ten minutes. Where
 * the kernel does not measure them (no fs-verity), a container would read a truncated one as if that were the file.
 * @param erofs the molecule's bytes, of the file `molecule`
 * @param known of this boot, closed to others: holds when they were
 * @throws AtomfsError "bad-data"
 */
export function checkObjects(
  erofs: Uint8Array,
  objectPath: (digest: VerityDigest) => string,
  molecule: string,
  known: string,
): void {
  const { ino, mtimeNs } = statSync(molecule, { bigint: true });
  const key = `${ino} ${mtimeNs}`;
  const now = Date.now();
  if (isTrusted(known, key, now)) return;
  for (const [digest, size] of objectSizesOf(erofs)) {
    const found = statSync(objectPath(digest), { throwIfNoEntry: false })?.size;
    if (found !== size) throw damaged(digest, found, size);
  }
  mkdirSync(dirname(known), { recursive: true, mode: 0o700 });
  writeAtomic(known, Buffer.from(`${key} ${now}`), { mode: 0o600 });
}

function isTrusted(known: string, key: string, now: number): boolean {
  try {
    const text = readFileSync(known, "latin1");
    const since = text.startsWith(`${key} `) ? Number(text.slice(key.length + 1)) : Number.NaN;
    return since <= now && now < since + TRUSTED_MS;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}

function damaged(digest: VerityDigest, found: number | undefined, size: number): AtomfsError {
  const is = found === undefined ? "is missing" : `has ${found} bytes instead of ${size}`;
  return new AtomfsError("bad-data", `The store is damaged: object ${digest.slice(0, 12)} ${is}`, {
    hints: ["run `atomfs fsck`, which names all that is damaged"],
  });
}
