import { parseVerityDigest, type VerityDigest } from "../core/digest.ts";
import type { Generation } from "./records.ts";

/** A `current/` file (docs/formats/store.md): all that a runtime reads at a container's start. */
export function currentText(generation: Generation): string {
  return `${generation.molecule} ${generation.number} ${generation.fixes.length}\n`;
}

/** @throws AtomfsError "bad-data" if it doesn't begin with a molecule's name */
export function parseCurrent(text: string): { readonly molecule: VerityDigest; readonly fixes: number } {
  const [molecule = "", , fixes = ""] = text.trim().split(" ");
  return { molecule: parseVerityDigest(molecule), fixes: Number(fixes) };
}
