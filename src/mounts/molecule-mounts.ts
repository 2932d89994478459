import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { verityDigest } from "../core/verity.ts";
import { readErofs } from "../formats/erofs/reader.ts";
import type { StoreLayout } from "../store/layout.ts";
import { readFileBounded, writeAtomic } from "../sys/files.ts";
import { findMount, readMountinfo } from "../sys/mountinfo.ts";
import { applyMount, unmount } from "./apply.ts";
import { checkoutTree } from "./checkout.ts";
import { cachedProbe } from "./probe-cache.ts";
import { type MountCapabilities, type MountRow, moleculeOfMount, planMount, treePathOf } from "./spec.ts";

const RUN_DIRECTORY = "/run/atomfs";
export const DEFAULT_ROOT_DIRECTORY = "/var/lib/atomfs";
const MOLECULE_MAX_BYTES = 1 << 30;

/** Where a store's mounts and leases of this boot are; stores in unusual places have a folder each. */
export function runDirectoryOf(root: string): string {
  if (root === DEFAULT_ROOT_DIRECTORY) return RUN_DIRECTORY;
  return join(RUN_DIRECTORY, "stores", createHash("sha256").update(root).digest("hex").slice(0, 12));
}

/** Where a molecule is mounted read-only for engines that stack their own overlay on it. */
export function mountPointOf(layout: StoreLayout, molecule: VerityDigest): string {
  return join(runDirectoryOf(layout.root), "mounts", molecule);
}

export type MountedMolecule = {
  readonly target: string;
  readonly row: MountRow;
  /** False if it was mounted already. */
  readonly isNew: boolean;
};

export function probeStore(layout: StoreLayout): MountCapabilities {
  return cachedProbe({ temporary: layout.tmp, run: runDirectoryOf(layout.root) });
}

/**
 * Mounts a molecule read-only at its mount point, unless it is there already, and leaves a lease.
 * The image file is measured first: what is mounted is what the name says, also where the kernel has no fs-verity.
 */
export function mountMolecule(layout: StoreLayout, molecule: VerityDigest): MountedMolecule {
  const target = mountPointOf(layout, molecule);
  const capabilities = probeStore(layout);
  const erofsPath = layout.molecule(molecule);
  const spec = planMount(
    { molecule, erofsPath, objectsDir: layout.objects, treesDir: layout.trees, target },
    capabilities,
  );
  if (findMount(readMountinfo(), target) !== undefined) return { target, row: spec.row, isNew: false };
  const erofs = readFileBounded(erofsPath, MOLECULE_MAX_BYTES);
  if (verityDigest(erofs) !== molecule) {
    throw new AtomfsError("untrusted", `Molecule ${molecule} is not what was written: it is not mounted`, {
      hints: ["run `atomfs fsck`"],
    });
  }
  if (spec.row === "tree" && !existsSync(treePathOf(layout.trees, molecule))) {
    checkoutTree({
      tree: readErofs(erofs),
      objectPath: layout.object,
      target: treePathOf(layout.trees, molecule),
    });
  }
  mkdirSync(target, { recursive: true, mode: 0o755 });
  using mount = applyMount(spec, { runDirectory: runDirectoryOf(layout.root) });
  writeLease(layout, molecule, target);
  mount.release();
  return { target, row: spec.row, isNew: true };
}

/** Takes a molecule's mount away. Containers that run on it keep it: their overlay holds it. @returns was it mounted? */
export function unmountMolecule(layout: StoreLayout, molecule: VerityDigest): boolean {
  const target = mountPointOf(layout, molecule);
  const wasMounted = unmount(target);
  rmSync(leasePath(layout, molecule), { force: true });
  if (existsSync(target)) rmdirSync(target);
  return wasMounted;
}

/** Molecules that are mounted at their mount points. */
export function mountedMolecules(layout: StoreLayout): VerityDigest[] {
  const folder = join(runDirectoryOf(layout.root), "mounts");
  return existsSync(folder) ? (readdirSync(folder) as VerityDigest[]) : [];
}

/** A lease says that a mount needs a molecule. It lies in /run, so it ends with the boot, as the mount does. */
function leasePath(layout: StoreLayout, molecule: VerityDigest): string {
  return join(runDirectoryOf(layout.root), "leases", molecule);
}

function writeLease(layout: StoreLayout, molecule: VerityDigest, target: string): void {
  const path = leasePath(layout, molecule);
  mkdirSync(join(path, ".."), { recursive: true, mode: 0o700 });
  writeAtomic(path, Buffer.from(`${JSON.stringify({ molecule, target, pid: process.pid })}\n`), {
    mode: 0o600,
  });
}

/** Molecules that a lease or a mount in any process's mount namespace needs. */
export function moleculesInUse(layout: StoreLayout): Set<VerityDigest> {
  const folder = join(runDirectoryOf(layout.root), "leases");
  const used = new Set<VerityDigest>(existsSync(folder) ? (readdirSync(folder) as VerityDigest[]) : []);
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    for (const mount of mountsOf(Number(pid))) {
      const molecule = moleculeOfMount(mount);
      if (molecule !== undefined) used.add(molecule);
    }
  }
  return used;
}

/** A process may end while it is looked at. */
function mountsOf(pid: number): ReturnType<typeof readMountinfo> {
  try {
    return readMountinfo(pid);
  } catch {
    return [];
  }
}
