import { lstatSync, readdirSync } from "node:fs";
import { type ByteString, displayText, fromBytes } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { getXattr } from "../sys/xattr.ts";
import type { EngineRoot } from "./engine-root.ts";

const METACOPY = "trusted.overlay.metacopy" as ByteString;

/**
 * Where an engine mounts with `metacopy=on`, a container's `chmod` leaves a file without data in the upper, which only a mount
 * with that option reads (kernel, overlayfs.rst, "Metadata only copy up"). A molecule's has it off, so that an upper stays readable.
 * @throws AtomfsError "unsupported" if there is such a file: the root is not to be replaced
 */
export function refuseDatalessFiles({ mount, upperdir }: Pick<EngineRoot, "mount" | "upperdir">): void {
  if (!mount.superOptions.includes("metacopy=on")) return;
  const found = findDataless(Buffer.from(upperdir));
  if (found === undefined) return;
  throw new AtomfsError(
    "unsupported",
    `Cannot put a molecule under this container: the engine's metacopy=on has left ${displayText(fromBytes(found))} without data`,
    { hints: ["take metacopy=on out of mountopt in storage.conf, and make the container anew"] },
  );
}

function findDataless(upper: Buffer): Buffer | undefined {
  const left = [upper];
  for (let directory = left.pop(); directory !== undefined; directory = left.pop()) {
    for (const name of readdirSync(directory, { encoding: "buffer" })) {
      const path = Buffer.concat([directory, Buffer.from("/"), name]);
      const stat = lstatSync(path);
      if (stat.isDirectory()) left.push(path);
      else if (stat.isFile() && getXattr(path, METACOPY) !== undefined) return path;
    }
  }
  return undefined;
}
