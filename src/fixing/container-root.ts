import { constants, fstatSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { joinAtoms } from "../atoms/join.ts";
import { parentPath, ROOT, type TreePath } from "../core/bytestring.ts";
import type { Sha256, VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { resolvePath } from "../core/resolve.ts";
import { contentSize, type FileContent, type Tree } from "../core/tree.ts";
import { VerityHasher } from "../core/verity.ts";
import { readErofs } from "../formats/erofs/reader.ts";
import { readMolecule } from "../store/molecule-file.ts";
import type { Generation, ImageRecord } from "../store/records.ts";
import { currentGeneration } from "../store/state.ts";
import type { Store } from "../store/store.ts";
import { Fd, O_PATH } from "../sys/fd.ts";
import { hasCode } from "../sys/ffi.ts";
import { openInRoot } from "../sys/openat2.ts";

const CHUNK = 1 << 20;

/** What a running container's root is, found by reading it. */
export type RootState = {
  /** "shadowed": the current molecule, but the container wrote over files in which the molecules differ. */
  readonly status: "current" | "shadowed" | "outdated" | "unknown";
  /** The molecule whose files the root has; undefined if it can't be told, or if the image as it came never was one. */
  readonly molecule: VerityDigest | undefined;
  /** Paths that tell the image's molecules apart and don't have that molecule's content: the container wrote over them. */
  readonly shadowed: readonly TreePath[];
  /** Of `shadowed`, what is so because of a mount inside the container: a new writable layer would not change it. */
  readonly onVolumes: readonly TreePath[];
};

/** Trees of molecules and images, read once. */
export class MoleculeTrees {
  readonly #store: Store;
  readonly #trees = new Map<VerityDigest, Tree>();
  readonly #images = new Map<Sha256, Tree>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** @throws AtomfsError "bad-data" if the molecule is missing or damaged */
  get(molecule: VerityDigest): Tree {
    const known = this.#trees.get(molecule);
    if (known !== undefined) return known;
    const tree = readErofs(readMolecule(this.#store.layout, molecule));
    this.#trees.set(molecule, tree);
    return tree;
  }

  /** The image as it came, without any fix. @throws AtomfsError "bad-data" if one of its atoms is missing or damaged */
  ofImage({ config, atoms }: ImageRecord): Tree {
    const known = this.#images.get(config);
    if (known !== undefined) return known;
    const tree = joinAtoms(atoms.map((id) => this.#store.readAtom(id)));
    this.#images.set(config, tree);
    return tree;
  }

  /** undefined if the molecule is missing or damaged. */
  find(molecule: VerityDigest): Tree | undefined {
    try {
      return this.get(molecule);
    } catch (error) {
      if (error instanceof AtomfsError) return undefined;
      throw error;
    }
  }
}

/**
 * Which of its image's molecules a process has as root. Overlay doesn't tell what it was mounted on, so the files that
 * differ between those molecules are opened inside the process's root and measured. Nothing of the container is run or
 * believed: paths are resolved inside its root only, nothing but regular files is opened, and nothing is read that has
 * another size than every molecule's file.
 * @throws AtomfsError "not-found" if the process has ended, "bad-data" if the current molecule is damaged
 */
export function inspectRoot(store: Store, trees: MoleculeTrees, config: Sha256, pid: number): RootState {
  const current = currentGeneration(store.state, config);
  const image = store.state.images.get(config);
  if (current === undefined || image === undefined)
    return { status: "unknown", molecule: undefined, shadowed: [], onVolumes: [] };
  const known = knownTrees(store, trees, image, current);
  using root = openRoot(pid);
  const contents = distinguishingContents(known.map(({ tree }) => tree));
  const seen = new Map([...contents].map(([path, each]) => [path, measure(root, path, each)]));
  const differing = (tree: Tree): TreePath[] =>
    [...seen].filter(([path, key]) => keyAt(tree, path) !== key).map(([path]) => path);
  const candidates = known.map(({ molecule, tree }) => ({ molecule, shadowed: differing(tree) }));
  const least = Math.min(...candidates.map(({ shadowed }) => shadowed.length));
  const best = candidates.filter(({ shadowed }) => shadowed.length === least);
  const [first] = best;
  if (first === undefined) throw new TypeError("An image with a current molecule has a molecule");
  const { molecule, shadowed } = first;
  const covered = { shadowed, onVolumes: shadowed.filter((path) => isOnOtherMount(root, path)) };
  if (molecule !== current.molecule) return { status: "outdated", molecule, ...covered };
  if (least === 0) return { status: "current", molecule, ...covered };
  // As near to an older one: nothing is claimed.
  if (best.length > 1) return { status: "unknown", molecule: undefined, ...covered };
  return { status: "shadowed", molecule, ...covered };
}

type KnownTree = { readonly molecule: VerityDigest | undefined; readonly tree: Tree };

/**
 * What the root of one of the image's containers can be: its molecules, the current one first, then from the newest to the
 * oldest. Old ones may have been collected. The image itself is always among them: where the fix was there first, it never
 * was a molecule of this store, and yet an engine runs it.
 */
function knownTrees(
  store: Store,
  trees: MoleculeTrees,
  image: ImageRecord,
  current: Generation,
): readonly KnownTree[] {
  const known = new Map<VerityDigest, Tree>([[current.molecule, trees.get(current.molecule)]]);
  let hasImage = current.fixes.length === 0;
  for (const { molecule, fixes } of [...(store.state.generations.get(image.config) ?? [])].reverse()) {
    const tree = known.get(molecule) ?? trees.find(molecule);
    if (tree === undefined) continue;
    known.set(molecule, tree);
    hasImage ||= fixes.length === 0;
  }
  const molecules = [...known].map(([molecule, tree]) => ({ molecule, tree }));
  return hasImage ? molecules : [...molecules, { molecule: undefined, tree: trees.ofImage(image) }];
}

const ABSENT = "absent";
/** What is there is no content of any molecule. */
const OTHER = "other";

/** For each path at which the trees' contents are not all equal: the sizes that they have there. */
function distinguishingContents(trees: readonly Tree[]): Map<TreePath, ReadonlySet<number>> {
  const [first, ...others] = trees;
  const found = new Map<TreePath, Set<number>>();
  if (first === undefined) return found;
  for (const other of others) {
    for (const tree of [first, other]) {
      for (const path of tree.keys())
        if (!found.has(path) && !sameContent(contentAt(first, path), contentAt(other, path)))
          found.set(path, new Set());
    }
  }
  for (const [path, sizes] of found) {
    for (const tree of trees) {
      const content = contentAt(tree, path);
      if (content !== undefined) sizes.add(contentSize(content));
    }
  }
  return found;
}

/** The content that a program gets that opens the path: symlinks are followed inside the tree. */
function contentAt(tree: Tree, path: TreePath): FileContent | undefined {
  const inode = tree.get(path);
  if (inode?.type === "file") return inode.content;
  if (inode?.type !== "symlink") return undefined;
  const target = resolvePath(tree, path, true);
  const reached = target === undefined ? undefined : tree.get(target);
  return reached?.type === "file" ? reached.content : undefined;
}

function sameContent(a: FileContent | undefined, b: FileContent | undefined): boolean {
  if (a === undefined || b === undefined || a.kind === "object") {
    return a === b || (a?.kind === "object" && b?.kind === "object" && a.digest === b.digest);
  }
  return b.kind === "inline" && a.bytes === b.bytes;
}

function keyAt(tree: Tree, path: TreePath): string {
  const content = contentAt(tree, path);
  return content === undefined ? ABSENT : keyOf(content);
}

function keyOf(content: FileContent): string {
  if (content.kind === "object") return content.digest;
  const hasher = new VerityHasher();
  hasher.update(Buffer.from(content.bytes, "latin1"));
  return hasher.digest();
}

/**
 * @throws AtomfsError "not-found" if the process has ended. A process that shares this one's mounts is taken for another
 * one that got its number.
 */
export function openRoot(pid: number): Fd {
  try {
    if (readlinkSync(`/proc/${pid}/ns/mnt`) !== readlinkSync("/proc/self/ns/mnt"))
      return new Fd(openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY));
  } catch (cause) {
    if (!hasCode(cause, "ENOENT", "ESRCH")) throw cause;
  }
  throw new AtomfsError("not-found", `Process ${pid} has ended`);
}

/** The fs-verity digest of a regular file of one of these sizes on the root's own mount, or one of the two words above. */
function measure(root: Fd, path: TreePath, sizes: ReadonlySet<number>): string {
  try {
    // Opening a pipe may wait, opening a device may do anything. A name only is harmless.
    using name = openInRoot(root, path, O_PATH);
    const stat = fstatSync(name.number);
    if (!stat.isFile()) return ABSENT;
    // A volume, or a file of /proc, whose size is no promise and which may keep its reader waiting.
    if (!sizes.has(stat.size) || mountOf(name) !== mountOf(root)) return OTHER;
    using file = new Fd(openSync(name.procPath, constants.O_RDONLY));
    return measureDescriptor(file.number, stat.size) ?? OTHER;
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return ABSENT;
    // Loops of symlinks, damaged objects and whatever else a root can have: not what a molecule has.
    if (error instanceof Error && "code" in error) return OTHER;
    throw error;
  }
}

/** What is not there belongs to the mount of its nearest directory that is. */
function isOnOtherMount(root: Fd, path: TreePath): boolean {
  for (let at = path; ; at = parentPath(at)) {
    try {
      using name = openInRoot(root, at, O_PATH);
      return mountOf(name) !== mountOf(root);
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error;
      if (at === ROOT || !hasCode(error, "ENOENT", "ENOTDIR")) return false;
    }
  }
}

/** The kernel's number of the mount that a descriptor is on (proc_pid_fdinfo(5)). */
export function mountOf(fd: Fd): string | undefined {
  return /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd.number}`, "latin1"))?.[1];
}

/** The fs-verity digest of `size` bytes of a descriptor; undefined if it has more or fewer of them by now. */
export function measureDescriptor(fd: number, size: number): VerityDigest | undefined {
  const hasher = new VerityHasher();
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size + 1));
  for (let position = 0; position <= size; ) {
    const got = readSync(fd, buffer, 0, Math.min(buffer.length, size + 1 - position), position);
    if (got === 0) return position === size ? hasher.digest() : undefined;
    hasher.update(buffer.subarray(0, got));
    position += got;
  }
  return undefined;
}
