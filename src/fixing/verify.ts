import { createHash } from "node:crypto";
import { packageKey, readDpkgDatabase } from "../atoms/dpkg-database.ts";
import { displayText, type TreePath } from "../core/bytestring.ts";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { type FileContent, type Inode, readContent, type Tree } from "../core/tree.ts";
import { verityDigest } from "../core/verity.ts";
import type { EngineContainer } from "../engines/engine.ts";
import { bringsMore, isNewer } from "../molecules/fix-matching.ts";
import { readMolecule } from "../store/molecule-file.ts";
import type { FixRule, ImageRecord, Replacement } from "../store/records.ts";
import { currentGeneration, namesOf } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { hasCode } from "../sys/ffi.ts";
import { containerFindings } from "./container-findings.ts";
import { inspectRoot, MoleculeTrees, type RootState } from "./container-root.ts";
import { packageFindings } from "./package-findings.ts";
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
  /** No image of the store has the fix, and none needs it: it waits for images to come, or others bring as much. */
  readonly isUnused: boolean;
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
  let isNeeded = false;
  for (const image of store.state.images.values()) {
    const current = currentGeneration(store.state, image.config);
    if (current === undefined) continue;
    if (!current.fixes.includes(rule.id)) {
      images.push(...doubtedImage(store, image, current.molecule, rule));
      const others = [...store.state.fixes.values()].filter((each) => current.fixes.includes(each.id));
      const packages = store.catalog.packagesOfImage(image.config);
      isNeeded ||= bringsMore(rule, others, image, namesOf(store.state, image.config), packages);
      continue;
    }
    images.push(verifyImage(store, trees, image, current.molecule, rule));
    let files: FixedFiles | undefined;
    for (const container of containers.filter(isRunning)) {
      if (container.imageId !== image.config) continue;
      verified.push(
        verifyContainer(store, trees, image.config, container, () => {
          files ??= fixedFiles(store, trees, image, current.molecule, rule);
          return files;
        }),
      );
    }
  }
  const isFixed =
    images.length > 0 && [...images, ...verified].every(({ problems }) => problems.length === 0);
  const isUnused = images.length === 0 && !isNeeded;
  return { fix: rule.id, title: rule.title, images, containers: verified, isFixed, isUnused };
}

/** An image that says it needs no fix: it is believed only if nothing speaks against it. */
function doubtedImage(
  store: Store,
  image: ImageRecord,
  molecule: VerityDigest,
  rule: FixRule,
): ImageVerification[] {
  const { distribution, architecture } = rule;
  if (image.distribution.id !== distribution.id || image.architecture !== architecture) return [];
  const only = new Set(rule.replacements.map((each) => each.package));
  const problems = packageFindings(store, image, { only }).map(({ reason }) => reason);
  if (problems.length === 0) return [];
  const names = namesOf(store.state, image.config);
  return [{ config: image.config, names, molecule, filesChecked: 0, problems }];
}

type RunningContainer = EngineContainer & { readonly pid: number };

function isRunning(container: EngineContainer): container is RunningContainer {
  return container.pid !== undefined;
}

function verifyImage(
  store: Store,
  trees: MoleculeTrees,
  image: ImageRecord,
  molecule: VerityDigest,
  rule: FixRule,
): ImageVerification {
  const problems: string[] = [];
  let filesChecked = 0;
  try {
    filesChecked = checkMolecule(store, trees, image, molecule, rule, problems);
  } catch (error) {
    if (!(error instanceof AtomfsError)) throw error;
    problems.push(`its molecule cannot be read: ${error.message}`);
  }
  return {
    config: image.config,
    names: namesOf(store.state, image.config),
    molecule,
    filesChecked,
    problems,
  };
}

/** Adds what is wrong to `problems`. @returns how many files were measured @throws AtomfsError "bad-data" */
function checkMolecule(
  store: Store,
  trees: MoleculeTrees,
  image: ImageRecord,
  molecule: VerityDigest,
  rule: FixRule,
  problems: string[],
): number {
  if (verityDigest(readMolecule(store.layout, molecule)) !== molecule)
    problems.push("the molecule's bytes have another digest than its name");
  const tree = trees.get(molecule);
  const database = readDpkgDatabase(tree, (digest) => store.readObject(digest));
  let filesChecked = 0;
  for (const replacement of replacementsIn(store, image, rule)) {
    const key = packageKey({ name: replacement.package, architecture: replacement.architecture });
    const installed = database?.installed.get(key);
    // Another fix may have brought a newer one.
    if (installed === undefined || isNewer(replacement.version, installed.record.version)) {
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
  return filesChecked;
}

/** The rule's replacements that an image got: of a package that it had in an older version. */
function replacementsIn(store: Store, image: ImageRecord, rule: FixRule): Replacement[] {
  const packages = store.catalog.packagesOfImage(image.config);
  return rule.replacements.filter((replacement) =>
    packages.some(
      (row) =>
        row.name === replacement.package &&
        row.architecture === replacement.architecture &&
        isNewer(replacement.version, row.version),
    ),
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

/** @throws AtomfsError "bad-data" if the current molecule or an atom is damaged */
function fixedFiles(
  store: Store,
  trees: MoleculeTrees,
  image: ImageRecord,
  molecule: VerityDigest,
  rule: FixRule,
): FixedFiles {
  const tree = trees.get(molecule);
  const next = new Map<string, VerityDigest>();
  const old = new Map<VerityDigest, { readonly path: TreePath; readonly size: number }>();
  const sizes = new Set<number>();
  const note = (path: TreePath, inode: Inode): void => {
    const content = objectOf(inode);
    if (content !== undefined) old.set(content.digest, { path, size: content.size });
  };
  // What other fixes had brought before is as old.
  for (const generation of store.state.generations.get(image.config) ?? []) {
    for (const [path, inode] of trees.find(generation.molecule) ?? []) note(path, inode);
  }
  const packages = store.catalog.packagesOfImage(image.config);
  const database = readDpkgDatabase(tree, (digest) => store.readObject(digest));
  for (const replacement of replacementsIn(store, image, rule)) {
    const key = packageKey({ name: replacement.package, architecture: replacement.architecture });
    for (const row of packages.filter((each) => packageKey(each) === key))
      for (const { path, inode } of store.readAtom(row.atom).entries) note(path, inode);
    for (const path of database?.installed.get(key)?.paths ?? []) {
      const content = objectOf(tree.get(path));
      if (content === undefined) continue;
      next.set(path, content.digest);
      sizes.add(content.size);
    }
  }
  for (const inode of tree.values()) {
    const content = objectOf(inode);
    if (content !== undefined) old.delete(content.digest);
  }
  for (const { size } of old.values()) sizes.add(size);
  return { old: new Map([...old].map(([digest, { path }]) => [digest, path])), next, sizes };
}

function objectOf(inode: Inode | undefined): Extract<FileContent, { kind: "object" }> | undefined {
  return inode?.type === "file" && inode.content.kind === "object" ? inode.content : undefined;
}

function verifyContainer(
  store: Store,
  trees: MoleculeTrees,
  config: Sha256,
  container: RunningContainer,
  filesOfFix: () => FixedFiles,
): ContainerVerification {
  const problems: string[] = [];
  const { id, name, pid, startedAt } = container;
  const result = { id, name, config, startedAt, problems };
  try {
    const root = inspectRoot(store, trees, config, pid);
    problems.push(...rootProblems(root));
    problems.push(...containerFindings(store, trees, root, pid));
    const files = filesOfFix();
    const processes = containerProcesses(pid, id);
    const provenMappings = checkMappings(processes, files, problems);
    const proof = problems.length > 0 ? "none" : provenMappings > 0 ? "mapped" : "root";
    return { ...result, root: root.status, processes: processes.length, provenMappings, proof };
  } catch (error) {
    problems.push(whyUnproven(error));
    return { ...result, root: "unknown", processes: 0, provenMappings: 0, proof: "none" };
  }
}

function rootProblems(root: RootState): string[] {
  const problems: string[] = [];
  if (root.status === "outdated") problems.push("its root is an older molecule: restart it");
  if (root.status === "unknown") problems.push("its root is not known to be the current molecule");
  return problems;
}

/** Adds what is wrong to `problems`. @returns how many mappings are of files of the new atoms */
function checkMappings(processes: readonly number[], files: FixedFiles, problems: string[]): number {
  const measured = new Map<string, VerityDigest | undefined>();
  let proven = 0;
  for (const each of processes) {
    for (const { path, digest } of mappedFiles(each, { sizes: files.sizes, paths: files.next }, measured)) {
      const oldPath = digest === undefined ? undefined : files.old.get(digest);
      const wanted = files.next.get(livePath(path));
      if (oldPath !== undefined) problems.push(`process ${each} maps the old ${displayText(oldPath)}`);
      else if (wanted !== undefined && wanted !== digest)
        problems.push(`process ${each} maps an unknown ${displayText(path as TreePath)}`);
      else if (wanted !== undefined) proven += 1;
    }
  }
  return proven;
}

/** One container that can't be looked at does not keep the others from being looked at. */
function whyUnproven(error: unknown): string {
  if (error instanceof AtomfsError && error.kind === "not-found")
    return "it ended while it was looked at: verify again";
  if (error instanceof AtomfsError) return error.message;
  if (hasCode(error, "EACCES", "EPERM"))
    return `its processes may not be looked at: ${(error as Error).message}`;
  if (hasCode(error, "EIO")) return `a file cannot be read: ${(error as Error).message}`;
  throw error;
}
