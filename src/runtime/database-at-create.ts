import { readFileSync } from "node:fs";
import type { VerityDigest } from "../core/digest.ts";
import { databaseFindings } from "../fixing/container-findings.ts";
import { readErofs } from "../formats/erofs/reader.ts";
import type { StoreLayout } from "../store/layout.ts";
import { readMolecule } from "../store/molecule-file.ts";
import { openDirectoryPath } from "../sys/fd.ts";

/**
 * Packages that a container's own database names wrongly, one sentence each.
 * @param rootfs where the container's root is mounted
 * @param molecule what it has below its writable layer
 * @throws AtomfsError "bad-data", or a system error, if the store has lost it
 */
export function databaseFindingsAt(layout: StoreLayout, rootfs: string, molecule: VerityDigest): string[] {
  const tree = readErofs(readMolecule(layout, molecule));
  using root = openDirectoryPath(rootfs);
  return databaseFindings(root, tree, (digest) => readFileSync(layout.object(digest)));
}
