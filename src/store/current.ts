import { parseVerityDigest, type VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { Generation } from "./records.ts";

/** A `current/` file (docs/formats/store.md): all that a runtime reads at a container's start. */
export function currentText(generation: Generation): string {
  return `${generation.molecule} ${generation.number} ${generation.fixes.length}\n`;
}

/** @throws AtomfsError "bad-data" if it isn't all there: what was cut off must not look like an image without fixes */
export function parseCurrent(text: string): { readonly molecule: VerityDigest; readonly fixes: number } {
  const [, molecule = "", fixes = ""] = /^([0-9a-f]{64}) \d+ (\d+)\n$/.exec(text) ?? [];
  if (molecule !== "") return { molecule: parseVerityDigest(molecule), fixes: Number(fixes) };
  throw new AtomfsError("bad-data", "The store's file of the image's current molecule is damaged", {
    hints: ["run `atomfs fsck`, which writes it anew"],
  });
}
