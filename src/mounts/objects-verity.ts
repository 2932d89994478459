import { mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { VerityDigest } from "../core/digest.ts";
import { objectsOf } from "../formats/erofs/reader.ts";
import { hasCode } from "../sys/ffi.ts";
import { writeAtomic } from "../sys/files.ts";
import { measureVerity } from "../sys/verity.ts";

/**
 * Has every object of a molecule fs-verity, with the digest that is its name? If not, overlay may not ask for it: an object
 * without it (older than the filesystem's fs-verity, or a hard link of an engine's file) would be unreadable. The answer for
 * a molecule with thousands of objects takes long, so it is kept, until the molecule's file is another one.
 * @param erofs the molecule's bytes, of the file `molecule`
 * @param known of this boot, closed to others: holds the answer
 */
export function objectsHaveVerity(
  erofs: Uint8Array,
  objectPath: (digest: VerityDigest) => string,
  molecule: string,
  known: string,
): boolean {
  const { ino, mtimeNs } = statSync(molecule, { bigint: true });
  const key = `${ino} ${mtimeNs}`;
  const answer = readKnown(known);
  if (answer === `${key} yes` || answer === `${key} no`) return answer.endsWith("yes");
  let has = true;
  for (const digest of objectsOf(erofs)) {
    has = measureVerity(objectPath(digest)) === digest;
    if (!has) break;
  }
  mkdirSync(dirname(known), { recursive: true, mode: 0o700 });
  writeAtomic(known, Buffer.from(`${key} ${has ? "yes" : "no"}`), { mode: 0o600 });
  return has;
}

function readKnown(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
