import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { contentSize } from "../core/tree.ts";
import { verityDigest } from "../core/verity.ts";
import { readErofs } from "../formats/erofs/reader.ts";
import { DEFAULT_ROOT_DIRECTORY, type StoreLayout } from "../store/layout.ts";
import { readMolecule } from "../store/molecule-file.ts";
import { hasCode } from "../sys/ffi.ts";
import { writeAtomic } from "../sys/files.ts";
import { unmountAt } from "../sys/mount.ts";
import { findMount, readMountinfo } from "../sys/mountinfo.ts";
import { applyMount, unmount } from "./apply.ts";
import { checkoutTree } from "./checkout.ts";
import { objectsHaveVerity } from "./objects-verity.ts";
import { cachedProbe } from "./probe-cache.ts";
import {
  type MountCapabilities,
  type MountSpec,
  moleculeOfMount,
  planMount,
  treePathOf,
  type UpperRequest,
} from "./spec.ts";
import { checkObjects } from "./whole-objects.ts";

const RUN_DIRECTORY = "/run/atomfs";

/** Where a store's mounts and leases of this boot are; stores in unusual places have a folder each. */
export function runDirectoryOf(root: string): string {
  if (root === DEFAULT_ROOT_DIRECTORY) return RUN_DIRECTORY;
  return join(
    RUN_DIRECTORY,
    "stores",
    new Bun.CryptoHasher("sha256").update(root).digest("hex").slice(0, 12),
  );
}

/** Where a molecule is mounted read-only for engines that stack their own overlay on it. */
export function mountPointOf(layout: StoreLayout, molecule: VerityDigest): string {
  return join(runDirectoryOf(layout.root), "mounts", molecule);
}

export type MountedMolecule = {
  readonly target: string;
  /** False if it was mounted already. */
  readonly isNew: boolean;
};

export function probeStore(layout: StoreLayout): MountCapabilities {
  return cachedProbe({ temporary: layout.tmp, run: runDirectoryOf(layout.root) });
}

/**
 * How a molecule is mounted on `target`, with everything that needs time or can fail done: the image file is measured, so that
 * what is mounted is what the name says, also where the kernel has no fs-verity, and a tree is checked out if one is needed.
 * @throws AtomfsError "untrusted" for a molecule that isn't what was written
 */
export function prepareMolecule(
  layout: StoreLayout,
  molecule: VerityDigest,
  place: { readonly target: string; readonly upper?: UpperRequest; readonly idmap?: string },
): MountSpec {
  const erofs = readMolecule(layout, molecule);
  if (verityDigest(erofs) !== molecule) {
    throw new AtomfsError("untrusted", `Molecule ${molecule} is not what was written: it is not mounted`, {
      hints: ["run `atomfs fsck`"],
    });
  }
  const erofsPath = layout.molecule(molecule);
  checkObjects(erofs, layout.object, erofsPath, join(runDirectoryOf(layout.root), "whole", molecule));
  const directories = { objectsDir: layout.objects, treesDir: layout.trees };
  const capabilities = capabilitiesFor(layout, molecule, erofs);
  const spec = planMount({ molecule, erofsPath, ...directories, ...place }, capabilities);
  const tree = treePathOf(layout.trees, molecule);
  if (spec.row === "tree" && !existsSync(tree)) {
    checkoutTree({ tree: readErofs(erofs), objectPath: layout.object, target: tree });
  }
  return spec;
}

function capabilitiesFor(layout: StoreLayout, molecule: VerityDigest, erofs: Uint8Array): MountCapabilities {
  const found = probeStore(layout);
  if (found.verity === "none") return found;
  const known = join(runDirectoryOf(layout.root), "verity", molecule);
  const has = objectsHaveVerity(erofs, layout.object, layout.molecule(molecule), known);
  return has ? found : { ...found, verity: "none" };
}

/**
 * Does what the first container's start on a molecule would have to wait for: what this kernel can is found out, a tree is
 * checked out if one is needed below a writable layer.
 * @throws as `prepareMolecule`
 */
export function readyMolecule(layout: StoreLayout, molecule: VerityDigest): void {
  const upper: UpperRequest = { upperdir: layout.tmp, workdir: layout.tmp, options: [] };
  prepareMolecule(layout, molecule, { target: layout.tmp, upper });
}

/** Mounts a molecule read-only at its mount point, unless it is there already, and leaves a lease. */
export function mountMolecule(layout: StoreLayout, molecule: VerityDigest): MountedMolecule {
  const target = mountPointOf(layout, molecule);
  const mounted = findMount(readMountinfo(), target);
  if (mounted !== undefined) {
    if (moleculeOfMount(mounted) === molecule) return { target, isNew: false };
    throw new AtomfsError("failed", `Cannot mount molecule ${molecule}: something else is on ${target}`, {
      hints: [`umount ${target}`],
    });
  }
  const spec = prepareMolecule(layout, molecule, { target });
  mkdirSync(target, { recursive: true, mode: 0o755 });
  using mount = applyMount(spec, { runDirectory: runDirectoryOf(layout.root) });
  writeLease(layout, molecule, target);
  mount.release();
  return { target, isNew: true };
}

/** Every file of a molecule, as the sum of their sizes; each path counts. @throws AtomfsError "bad-data" */
export function moleculeTreeSize(layout: StoreLayout, molecule: VerityDigest): number {
  let total = 0;
  for (const inode of readErofs(readMolecule(layout, molecule)).values())
    if (inode.type === "file") total += contentSize(inode.content);
  return total;
}

/** A mount takes milliseconds. What is as old as this was left by a program that was killed. */
const ABANDONED_MS = 10 * 60_000;

/**
 * Takes away the mount points that a killed program left while it mounted layers by path. Those of a program that is
 * at it right now stay: they are young.
 * @returns how many there were
 */
export function sweepAbandonedLayers(layout: StoreLayout, now: Date): number {
  const run = runDirectoryOf(layout.root);
  if (!existsSync(run)) return 0;
  let swept = 0;
  for (const name of readdirSync(run)) {
    const points = join(run, name);
    if (!name.startsWith("layers-") || now.getTime() - statSync(points).mtimeMs < ABANDONED_MS) continue;
    for (const point of readdirSync(points).map((each) => join(points, each))) {
      while (findMount(readMountinfo(), point) !== undefined) unmountAt(point, { detach: true });
      rmdirSync(point);
    }
    rmdirSync(points);
    swept += 1;
  }
  return swept;
}

/** Takes a molecule's mount away. Containers that run on it keep it: their overlay holds it. @returns is it away now, and was not before? */
export function unmountMolecule(layout: StoreLayout, molecule: VerityDigest): boolean {
  const target = mountPointOf(layout, molecule);
  let wasMounted: boolean;
  try {
    wasMounted = unmount(target);
  } catch (error) {
    // Somebody's working directory, or an open file: the next time will do.
    if (hasCode(error, "EBUSY")) return false;
    throw error;
  }
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

/**
 * Molecules that a lease or a mount in any process's mount namespace needs.
 * @param withdrawn count as unmounted from their mount points, to foretell what will be in use
 */
export function moleculesInUse(
  layout: StoreLayout,
  withdrawn: ReadonlySet<VerityDigest> = new Set(),
): Set<VerityDigest> {
  const folder = join(runDirectoryOf(layout.root), "leases");
  const leases = existsSync(folder) ? (readdirSync(folder) as VerityDigest[]) : [];
  const used = new Set<VerityDigest>(leases.filter((molecule) => !withdrawn.has(molecule)));
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    for (const mount of mountsOf(Number(pid))) {
      const molecule = moleculeOfMount(mount);
      if (molecule === undefined) continue;
      if (!withdrawn.has(molecule) || mount.target !== mountPointOf(layout, molecule)) used.add(molecule);
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
