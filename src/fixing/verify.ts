import { createHash } from "node:crypto";
import { packageKey, readDpkgDatabase } from "../atoms/dpkg-database.ts";
import { displayText, type TreePath } from "../core/bytestring.ts";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { readContent, type Tree } from "../core/tree.ts";
import { verityDigest } from "../core/verity.ts";
import type { EngineContainer } from "../engines/engine.ts";
import type { AtomEntry } from "../formats/atom/atom.ts";
import type { FixRule, ImageRecord, Replacement } from "../store/records.ts";
import { currentGeneration, namesOf } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { readFileBounded } from "../sys/files.ts";
import { inspectRoot, MoleculeTrees, type RootState } from "./container-root.ts";
import { containerProcesses, livePath, mappedFiles } from "./process-files.ts";

export type ImageVerification = {
  readonly config: Sha256;
  readonly names: readonly string[];
  readonly molecule: VerityDigest;
  /** Files of the fixed packages whose bytes were measured. */
  readonly filesChecked: number;
  readonly problems: readonly string[];
};

export type ContainerVerification = {
  readonly id: string;
  readonly name: string;
  readonly config: Sha256;
  readonly startedAt: string | undefined;
  readonly root: RootState["status"];
  readonly processes: number;
  /** Mappings of files of the fixed packages that were proven to be the new ones. */
  readonly provenMappings: number;
  /** "mapped": a process maps a file of the new atom. "root": nothing is mapped; root and start time are the proof. */
  readonly proof: "mapped" | "root" | "none";
  readonly problems: readonly string[];
};

export type FixVerification = {
  readonly fix: string;
  readonly title: string;
  readonly images: readonly ImageVerification[];
  readonly containers: readonly ContainerVerification[];
  /** Nothing failed and every running container of these images is proven. Only then may it be called fixed. */
  readonly isFixed: boolean;
};

/**
 * Proves a fix from the host, without running anything of a container: each molecule's bytes, package database and
 * files; each container's root; each mapping of each process.
 */
export function verifyFix(
  store: Store,
  rule: FixRule,
  containers: readonly EngineContainer[],
): FixVerification {
  const trees = new MoleculeTrees(store);
  const images: ImageVerification[] = [];
  const verified: ContainerVerification[] = [];
  for (const image of store.state.images.values()) {
    const current = currentGeneration(store.state, image.config);
    if (current === undefined || !current.fixes.includes(rule.id)) continue;
    images.push(verifyImage(store, trees, image, current.molecule, rule));
    for (const container of containers) {
      if (container.imageId !== image.config || container.pid === undefined || container.isInfra) continue;
      verified.push(verifyContainer(store, trees, image, current.molecule, rule, container, container.pid));
    }
  }
  const isFixed =
    images.length > 0 && [...images, ...verified].every(({ problems }) => problems.length === 0);
  return { fix: rule.id, title: rule.title, images, containers: verified, isFixed };
}

function verifyImage(
  store: Store,
  trees: MoleculeTrees,
  image: ImageRecord,
  molecule: VerityDigest,
  rule: FixRule,
): ImageVerification {
  const problems: string[] = [];
  const bytes = readFileBounded(store.layout.molecule(molecule), 1 << 30);
  if (verityDigest(bytes) !== molecule)
    problems.push("the molecule's bytes have another digest than its name");
  const tree = trees.get(molecule);
  const database = readDpkgDatabase(tree, (digest) => store.readObject(digest));
  let filesChecked = 0;
  for (const replacement of replacementsIn(store, image, rule)) {
    const key = packageKey({ name: replacement.package, architecture: replacement.architecture });
    const installed = database?.installed.get(key);
    if (installed?.record.version !== replacement.version) {
      problems.push(
        `the package database says ${key} is ${installed?.record.version ?? "absent"}, not ${replacement.version}`,
      );
      continue;
    }
    for (const [path, md5] of installed.md5) {
      const problem = checkFile(store, tree, path, md5);
      if (problem !== undefined) problems.push(problem);
      filesChecked += 1;
    }
  }
  return {
    config: image.config,
    names: namesOf(store.state, image.config),
    molecule,
    filesChecked,
    problems,
  };
}

/** The rule's replacements that an image has a package for. */
function replacementsIn(store: Store, image: ImageRecord, rule: FixRule): Replacement[] {
  const packages = store.catalog.packagesOfImage(image.config);
  return rule.replacements.filter((replacement) =>
    packages.some((row) => row.name === replacement.package && row.architecture === replacement.architecture),
  );
}

function checkFile(store: Store, tree: Tree, path: TreePath, md5: string): string | undefined {
  const inode = tree.get(path);
  // Left out of the image on purpose; dpkg -V would name it, and the plan did.
  if (inode === undefined) return undefined;
  if (inode.type !== "file") return `${displayText(path)} is not a file`;
  const bytes = readContent(inode.content, (digest) => store.readObject(digest));
  if (inode.content.kind === "object" && verityDigest(bytes) !== inode.content.digest) {
    return `the object of ${displayText(path)} is damaged`;
  }
  const actual = createHash("md5").update(bytes).digest("hex");
  return actual === md5 ? undefined : `${displayText(path)} is not what the package shipped`;
}

/** Files of the packages before and after: what must not be mapped any more, and what must be instead. */
type FixedFiles = {
  readonly old: ReadonlyMap<VerityDigest, TreePath>;
  readonly next: ReadonlyMap<string, VerityDigest>;
  readonly sizes: ReadonlySet<number>;
};

function fixedFiles(store: Store, image: ImageRecord, tree: Tree, rule: FixRule): FixedFiles {
  const next = new Map<string, VerityDigest>();
  const old = new Map<VerityDigest, TreePath>();
  const sizes = new Set<number>();
  const rows = store.catalog.packagesOfImage(image.config);
  for (const replacement of replacementsIn(store, image, rule)) {
    const row = rows.find(
      (each) => each.name === replacement.package && each.architecture === replacement.architecture,
    );
    if (row === undefined) continue;
    for (const entry of store.readAtom(row.atom).entries) noteOld(entry, old, sizes);
    const database = readDpkgDatabase(tree, (digest) => store.readObject(digest));
    for (const path of database?.installed.get(packageKey(row))?.paths ?? []) {
      const inode = tree.get(path);
      if (inode?.type !== "file" || inode.content.kind !== "object") continue;
      next.set(path, inode.content.digest);
      sizes.add(inode.content.size);
    }
  }
  for (const digest of next.values()) old.delete(digest);
  return { old, next, sizes };
}

function noteOld(entry: AtomEntry, old: Map<VerityDigest, TreePath>, sizes: Set<number>): void {
  if (entry.inode.type !== "file" || entry.inode.content.kind !== "object") return;
  old.set(entry.inode.content.digest, entry.path);
  sizes.add(entry.inode.content.size);
}

function verifyContainer(
  store: Store,
  trees: MoleculeTrees,
  image: ImageRecord,
  molecule: VerityDigest,
  rule: FixRule,
  container: EngineContainer,
  pid: number,
): ContainerVerification {
  const problems: string[] = [];
  const root = rootOf(store, trees, image.config, pid);
  if (root.status === "outdated") problems.push("its root is an older molecule: restart it");
  if (root.status === "unknown") problems.push("its root is not known to be the current molecule");
  for (const path of root.shadowed) problems.push(`its writable layer has another ${displayText(path)}`);
  const files = fixedFiles(store, image, trees.get(molecule), rule);
  const processes = containerProcesses(pid, container.id);
  const measured = new Map<string, VerityDigest>();
  let provenMappings = 0;
  for (const each of processes) {
    for (const mapping of mappedFiles(each, { sizes: files.sizes, paths: files.next }, measured)) {
      const oldPath = files.old.get(mapping.digest);
      const wanted = files.next.get(livePath(mapping.path));
      if (oldPath !== undefined) problems.push(`process ${each} maps the old ${displayText(oldPath)}`);
      else if (wanted !== undefined && wanted !== mapping.digest)
        problems.push(`process ${each} maps an unknown ${mapping.path}`);
      else if (wanted !== undefined) provenMappings += 1;
    }
  }
  const proof = problems.length > 0 ? "none" : provenMappings > 0 ? "mapped" : "root";
  const { id, name, startedAt } = container;
  return {
    id,
    name,
    config: image.config,
    startedAt,
    root: root.status,
    processes: processes.length,
    provenMappings,
    proof,
    problems,
  };
}

function rootOf(store: Store, trees: MoleculeTrees, config: Sha256, pid: number): RootState {
  try {
    return inspectRoot(store, trees, config, pid);
  } catch (error) {
    if (error instanceof AtomfsError && error.kind === "not-found") {
      return { status: "unknown", molecule: undefined, shadowed: [] };
    }
    throw error;
  }
}
