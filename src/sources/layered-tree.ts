import { parentPath, ROOT, type TreePath } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { resolvePath } from "../core/resolve.ts";
import { DEFAULT_ROOT, type DirInode, type Inode, type MutableTree } from "../core/tree.ts";

/** Paths in one tree, directories that are only implied included. */
export const MAX_ENTRIES = 5_000_000;
/** Bytes of paths, link targets and xattrs, of all entries of all layers: they are kept in memory. */
export const MAX_METADATA: number = 1024 ** 3;
export const MAX_PATH = 4096;
export const MAX_NAME = 255;

/** A directory that a layer uses without saying what it is like. Each is an inode of its own: a tree never shares one. */
function impliedDirectory(): DirInode {
  return { ...DEFAULT_ROOT };
}

/**
 * A tree to which layers are applied. Rules: docs/formats/import.md. Knows which layer set each path, so that a
 * whiteout hides lower layers' entries only, wherever in its layer it stands.
 */
export class LayeredTree {
  readonly tree: MutableTree = new Map([[ROOT, impliedDirectory()]]);
  readonly layerOf: Map<TreePath, number> = new Map([[ROOT, 0]]);
  readonly #children: Map<TreePath, Set<TreePath>> = new Map();
  #layer = 0;
  /** Directories without lower layers' entries since a whiteout of this layer: no walk visits one twice. */
  #cleared: Set<TreePath> = new Set();
  #metadata = 0;

  beginLayer(index: number): void {
    this.#layer = index;
    this.#cleared = new Set();
  }

  /**
   * Where an entry of this name lands: symlinks in its directories are followed inside the tree, its last name is not.
   * @returns undefined if something on the way is neither directory nor symlink, or symlinks go in circles
   */
  locate(path: TreePath): TreePath | undefined {
    if (path === ROOT) return ROOT;
    const parent = parentPath(path);
    if (this.tree.get(parent)?.type === "dir") return path;
    const directory = resolvePath(this.tree, parent, true);
    if (directory === undefined) return undefined;
    const inode = this.tree.get(directory);
    if (inode !== undefined && inode.type !== "dir") return undefined;
    return `${directory}${path.slice(parent.length)}` as TreePath;
  }

  /** Sets a path that `locate` gave. Only a directory over a directory keeps what is below. */
  put(path: TreePath, inode: Inode): void {
    this.#makeParents(parentPath(path));
    if (inode.type !== "dir") this.#removeChildren(path);
    this.#set(path, inode);
  }

  /** Applies a whiteout: what lower layers have at `path` goes, what this layer has stays. */
  hideLower(path: TreePath): void {
    const inode = this.tree.get(path);
    if (inode === undefined) return;
    if (inode.type === "dir") this.hideLowerChildren(path);
    if (this.layerOf.get(path) === this.#layer) return;
    if ((this.#children.get(path)?.size ?? 0) > 0) this.#set(path, impliedDirectory());
    else this.#remove(path);
  }

  /** Applies an opaque marker: as `hideLower` for everything below a directory, which itself stays. */
  hideLowerChildren(directory: TreePath): void {
    if (this.#cleared.has(directory)) return;
    this.#cleared.add(directory);
    for (const child of [...(this.#children.get(directory) ?? [])]) this.hideLower(child);
  }

  #makeParents(directory: TreePath): void {
    const missing: TreePath[] = [];
    for (let at = directory; !this.tree.has(at); at = parentPath(at)) missing.push(at);
    for (const path of missing.reverse()) this.#set(path, impliedDirectory());
  }

  #set(path: TreePath, inode: Inode): void {
    this.#account(path, inode);
    this.tree.set(path, inode);
    this.layerOf.set(path, this.#layer);
    if (path === ROOT) return;
    const parent = parentPath(path);
    const siblings = this.#children.get(parent);
    if (siblings === undefined) this.#children.set(parent, new Set([path]));
    else siblings.add(path);
  }

  #account(path: TreePath, inode: Inode): void {
    if (path.length > MAX_PATH || (path.length > MAX_NAME && /[^/]{256}/.test(path)))
      throw new AtomfsError(
        "bad-data",
        `its path is longer than ${MAX_PATH} bytes or has a name over ${MAX_NAME}`,
      );
    let size = path.length + (inode.type === "symlink" ? inode.target.length : 0);
    for (const [name, value] of inode.xattrs) size += name.length + value.length;
    this.#metadata += size;
    if (this.#metadata > MAX_METADATA || this.tree.size >= MAX_ENTRIES)
      throw new AtomfsError(
        "bad-data",
        `there are more than ${MAX_ENTRIES} paths or ${MAX_METADATA} bytes of names`,
      );
  }

  #removeChildren(directory: TreePath): void {
    const children = this.#children.get(directory);
    if (children === undefined) return;
    this.#children.delete(directory);
    for (const child of children) {
      this.#removeChildren(child);
      this.tree.delete(child);
      this.layerOf.delete(child);
    }
  }

  #remove(path: TreePath): void {
    this.#removeChildren(path);
    this.tree.delete(path);
    this.layerOf.delete(path);
    this.#children.get(parentPath(path))?.delete(path);
  }
}
