import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { AtomfsError } from "../core/errors.ts";
import { hasCode } from "./ffi.ts";
import { readFileBounded, writeAtomic } from "./files.ts";
import { compileSeccomp, type FilterProfile, MAX_FILTER } from "./seccomp.ts";

/** Raised when the same profile gives other bytes than before. Part of the cache's key. */
const COMPILER_VERSION = 1;

/**
 * What `compileSeccomp` gives, from a file of an earlier run by the profile's digest; a file that is not whole is made again, and a directory
 * that cannot be written costs only time.
 * @param directory made if it is absent, mode 0700; only root may write there
 */
export function compileSeccompCached(profile: FilterProfile, directory: string): Uint8Array {
  const text = JSON.stringify(profile, (_key, value) => (typeof value === "bigint" ? String(value) : value));
  const key = sha256().update(`${COMPILER_VERSION} ${process.arch} `).update(text).digest("hex");
  const file = join(directory, `${key}.bpf`);
  const cached = readCached(file);
  if (cached !== undefined) return cached;
  const program = compileSeccomp(profile);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeAtomic(file, Buffer.concat([sha256().update(program).digest(), program]), {
      mode: 0o400,
    });
  } catch (error) {
    if (!hasCode(error, "EROFS", "EACCES", "ENOSPC", "EDQUOT")) throw error;
  }
  return program;
}

/** Bun's own: loading node:crypto takes longer than all that is hashed here. */
function sha256(): Bun.CryptoHasher {
  return new Bun.CryptoHasher("sha256");
}

const DIGEST_SIZE = 32;

function readCached(file: string): Uint8Array | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileBounded(file, DIGEST_SIZE + MAX_FILTER);
  } catch (error) {
    if (hasCode(error, "ENOENT") || error instanceof AtomfsError) return undefined;
    throw error;
  }
  const program = bytes.subarray(DIGEST_SIZE);
  const digest = sha256().update(program).digest();
  return program.length > 0 && digest.equals(bytes.subarray(0, DIGEST_SIZE)) ? program : undefined;
}
