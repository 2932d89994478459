import { constants, fstatSync, openSync, readSync } from "node:fs";
import type { TreePath } from "../core/bytestring.ts";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { FileContent, Tree } from "../core/tree.ts";
import { VerityHasher } from "../core/verity.ts";
import { readErofs } from "../formats/erofs/reader.ts";
import { currentGeneration } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { Fd } from "../sys/fd.ts";
import { readFileBounded } from "../sys/files.ts";
import { openInRoot } from "../sys/openat2.ts";

const MOLECULE_MAX_BYTES = 1 << 30;
const CHUNK = 1 << 20;

/** What a running container's root is, found by reading it. */
export type RootState = {
  readonly status: "current" | "outdated" | "unknown";
  /** The molecule whose files the root has; undefined if none of the image's molecules fits. */
  readonly molecule: VerityDigest | undefined;
  /** Paths that tell the image's molecules apart and have neither's content: the container wrote over them. */
  readonly shadowed: readonly TreePath[];
};

/** Trees of molecules, read once. */
export class MoleculeTrees {
  readonly #store: Store;
  readonly #trees = new Map<VerityDigest, Tree>();

  constructor(store: Store) {
    this.#store = store;
  }

  get(molecule: VerityDigest): Tree {
    const known = this.#trees.get(molecule);
    if (known !== undefined) return known;
    const tree = readErofs(readFileBounded(this.#store.layout.molecule(molecule), MOLECULE_MAX_BYTES));
    this.#trees.set(molecule, tree);
    return tree;
  }
}

/**
 * Which of its image's molecules a process has as root. Overlay doesn't tell what it was mounted on, so the files that
 * differ between those molecules are opened inside the process's root and measured. Nothing of the container is run or
 * believed: paths are resolved inside its root only.
 */
export function inspectRoot(store: Store, trees: MoleculeTrees, config: Sha256, pid: number): RootState {
  const current = currentGeneration(store.state, config);
  if (current === undefined) return { status: "unknown", molecule: undefined, shadowed: [] };
  const molecules = [...new Set((store.state.generations.get(config) ?? []).map((each) => each.molecule))];
  const paths = distinguishingPaths(molecules.map((molecule) => trees.get(molecule)));
  using root = openRoot(pid);
  const seen = new Map(paths.map((path) => [path, measure(root, path)]));
  const fits = (molecule: VerityDigest): boolean =>
    paths.every((path) => seen.get(path) === contentKey(trees.get(molecule), path));
  if (fits(current.molecule)) return { status: "current", molecule: current.molecule, shadowed: [] };
  const other = molecules.find(fits);
  if (other !== undefined) return { status: "outdated", molecule: other, shadowed: [] };
  const shadowed = paths.filter((path) => {
    const key = seen.get(path);
    return molecules.every((molecule) => contentKey(trees.get(molecule), path) !== key);
  });
  const rest = paths.filter((path) => !shadowed.includes(path));
  const likely = molecules.findLast((molecule) =>
    rest.every((path) => seen.get(path) === contentKey(trees.get(molecule), path)),
  );
  return { status: likely === current.molecule ? "unknown" : "outdated", molecule: likely, shadowed };
}

/** Regular files (or their absence) in which the trees are not all equal. */
export function distinguishingPaths(trees: readonly Tree[]): TreePath[] {
  const [first, ...others] = trees;
  if (first === undefined) return [];
  const paths = new Set<TreePath>();
  for (const other of others) {
    for (const path of first.keys()) if (contentKey(first, path) !== contentKey(other, path)) paths.add(path);
    for (const path of other.keys()) if (contentKey(first, path) !== contentKey(other, path)) paths.add(path);
  }
  return [...paths];
}

const ABSENT = "absent";

function contentKey(tree: Tree, path: TreePath): string {
  const inode = tree.get(path);
  return inode?.type === "file" ? keyOf(inode.content) : ABSENT;
}

function keyOf(content: FileContent): string {
  if (content.kind === "object") return content.digest;
  const hasher = new VerityHasher();
  hasher.update(Buffer.from(content.bytes, "latin1"));
  return hasher.digest();
}

function openRoot(pid: number): Fd {
  try {
    return new Fd(openSync(`/proc/${pid}/root`, constants.O_RDONLY | constants.O_DIRECTORY));
  } catch (cause) {
    throw new AtomfsError("not-found", `Process ${pid} has ended`, { cause });
  }
}

/** The fs-verity digest of a regular file inside the root; "absent" for anything else. */
function measure(root: Fd, path: TreePath): string {
  try {
    using file = openInRoot(root, path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    if (!fstatSync(file.number).isFile()) return ABSENT;
    return measureDescriptor(file.number);
  } catch (error) {
    if (error instanceof AtomfsError) return ABSENT;
    throw error;
  }
}

/** The fs-verity digest of all that a descriptor reads. */
export function measureDescriptor(fd: number): VerityDigest {
  const hasher = new VerityHasher();
  const buffer = Buffer.allocUnsafe(CHUNK);
  for (let position = 0; ; ) {
    const got = readSync(fd, buffer, 0, CHUNK, position);
    if (got === 0) return hasher.digest();
    hasher.update(buffer.subarray(0, got));
    position += got;
  }
}
