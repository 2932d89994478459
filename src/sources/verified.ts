import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";

/**
 * Passes chunks on, and throws at their end unless they were what was promised. A consumer that stops early gets no
 * verdict: commit only after the loop ended.
 * @param what names the data in errors ("layer sha256:...")
 * @throws AtomfsError "untrusted" for a wrong digest, "bad-data" for a wrong size
 */
export async function* verified(
  chunks: AsyncIterable<Uint8Array>,
  promise: { readonly digest: Sha256; readonly size?: number; readonly what: string },
): AsyncGenerator<Uint8Array, void, void> {
  const hash = new Bun.CryptoHasher("sha256");
  let read = 0;
  for await (const chunk of chunks) {
    read += chunk.length;
    if (promise.size !== undefined && read > promise.size)
      throw wrongSize(promise.what, promise.size, "more");
    hash.update(chunk);
    yield chunk;
  }
  if (promise.size !== undefined && read < promise.size)
    throw wrongSize(promise.what, promise.size, `${read}`);
  const digest = hash.digest("hex");
  if (digest !== promise.digest)
    throw new AtomfsError(
      "untrusted",
      `Cannot use ${promise.what}: its SHA-256 is ${digest}, want ${promise.digest}`,
    );
}

function wrongSize(what: string, want: number, got: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot use ${what}: it has ${got} bytes, want ${want}`);
}
