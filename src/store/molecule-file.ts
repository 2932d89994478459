import type { VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { hasCode } from "../sys/ffi.ts";
import { readFileBounded } from "../sys/files.ts";
import type { StoreLayout } from "./layout.ts";

/** Some seven million entries. */
export const MOLECULE_MAX_BYTES: number = 1 << 30;

/** A molecule's bytes as they are, not measured. @throws AtomfsError "bad-data" if there is none */
export function readMolecule(layout: StoreLayout, molecule: VerityDigest): Buffer {
  try {
    return readFileBounded(layout.molecule(molecule), MOLECULE_MAX_BYTES);
  } catch (cause) {
    if (!hasCode(cause, "ENOENT", "ELOOP")) throw cause;
    throw new AtomfsError("bad-data", `The store has lost molecule ${molecule}`, {
      cause,
      hints: ["run `atomfs fsck`"],
    });
  }
}
