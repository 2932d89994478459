import type { ByteString } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";

const PREFIX = ".wh.";
const AUFS_PREFIX = ".wh..wh.";
const OPAQUE = ".wh..wh..opq";

/** What an entry of a layer says by its name (OCI image-spec 1.1, layer.md, "Whiteouts"). */
export type Whiteout =
  | { readonly kind: "hide"; readonly name: ByteString }
  | { readonly kind: "opaque" }
  /** Bookkeeping of aufs, which no tool unpacks. */
  | { readonly kind: "ignore" };

/**
 * @param names the path's names, as the layer spells them
 * @returns undefined for an ordinary entry
 * @throws AtomfsError "bad-data" for a whiteout that has entries, or that names no entry
 */
export function whiteoutOf(names: readonly ByteString[]): Whiteout | undefined {
  const last = names.at(-1);
  if (last === undefined) return undefined;
  for (const name of names.slice(0, -1)) {
    if (name.startsWith(AUFS_PREFIX)) return { kind: "ignore" };
    if (name.startsWith(PREFIX))
      throw new AtomfsError("bad-data", "Cannot apply whiteout: a whiteout is not a directory");
  }
  if (!last.startsWith(PREFIX)) return undefined;
  if (last === OPAQUE) return { kind: "opaque" };
  if (last.startsWith(AUFS_PREFIX)) return { kind: "ignore" };
  const name = last.slice(PREFIX.length) as ByteString;
  if (name === "" || name === "." || name === "..")
    throw new AtomfsError("bad-data", "Cannot apply whiteout: it names no entry");
  return { kind: "hide", name };
}
