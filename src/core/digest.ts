import { AtomfsError } from "./errors.ts";

declare const brand: unique symbol;
export type Brand<T, B extends string> = T & { readonly [brand]: B };

/** 64 lowercase hex digits: SHA-256 of some bytes. */
export type Sha256 = Brand<string, "Sha256">;
/**
 * 64 lowercase hex digits: fs-verity SHA-256 file digest (4096-byte blocks, no salt), as `fsverity digest`
 * prints and composefs records it. Names objects and molecules; never the same as the Sha256 of the bytes.
 */
export type VerityDigest = Brand<string, "VerityDigest">;

const HEX_256 = /^[0-9a-f]{64}$/;

/** The only ways from a string to a digest. @throws AtomfsError "bad-data" */
export function parseSha256(text: string): Sha256 {
  if (!HEX_256.test(text))
    throw new AtomfsError("bad-data", `Cannot parse SHA-256 "${text.slice(0, 80)}": want 64 hex digits`);
  return text as Sha256;
}

export function parseVerityDigest(text: string): VerityDigest {
  if (!HEX_256.test(text)) {
    throw new AtomfsError(
      "bad-data",
      `Cannot parse fs-verity digest "${text.slice(0, 80)}": want 64 hex digits`,
    );
  }
  return text as VerityDigest;
}

export function isVerityDigest(text: string): text is VerityDigest {
  return HEX_256.test(text);
}

/** Parses an OCI descriptor digest `sha256:<hex>`; other algorithms are refused by name. */
export function parseOciDigest(text: string): Sha256 {
  if (!text.startsWith("sha256:")) {
    throw new AtomfsError("bad-data", `Cannot use digest "${text.slice(0, 80)}": only sha256 is supported`);
  }
  return parseSha256(text.slice("sha256:".length));
}
