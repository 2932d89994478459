/** Layers to one tree. Rules and limits: docs/formats/import.md. */
import {
  type ByteString,
  baseName,
  displayText,
  joinPath,
  parentPath,
  parseTreePath,
  ROOT,
  type TreePath,
} from "../core/bytestring.ts";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { ContentSink, FileContent, Inode, MutableTree } from "../core/tree.ts";
import { whiteoutOf } from "../formats/oci/whiteout.ts";
import { decodeTar } from "../formats/tar/decode.ts";
import type { TarMember } from "../formats/tar/member.ts";
import { LayeredTree, MAX_ENTRIES, MAX_PATH } from "./layered-tree.ts";

/** Files up to this size reach the sink in one piece. */
const WHOLE_MAX = 1024 * 1024;
const MAX_XATTR_NAME = 255;
const MAX_XATTR_VALUE = 65_536;
const PROGRESS_EVERY = 500;

export type FlattenProgress = {
  /** Index of the layer that is being applied. */
  readonly layer: number;
  readonly layers: number;
  /** Members and bytes of file content so far, all layers together. */
  readonly entries: number;
  readonly bytes: number;
};

export type FlattenOptions = {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FlattenProgress) => void;
};

export type FlattenedLayers = {
  readonly tree: MutableTree;
  /** Index of the layer that last set each path. */
  readonly layerOf: Map<TreePath, number>;
};

/** A layer as its uncompressed tar. */
type TarLayer = { readonly diffId: Sha256; open(): AsyncIterable<Uint8Array> };

/** A layer as the members of its tar, which whoever makes them has verified. */
export type MemberLayer = { readonly diffId: Sha256; members(): AsyncIterable<TarMember> };

export type Layer = TarLayer | MemberLayer;

/**
 * Applies layers, lowest first, into one tree; file contents go to the sink as they are read.
 * @throws AtomfsError "bad-data" naming layer and path for entries that are hostile or over a limit, "interrupted",
 * and what the layers and the sink throw. The tree counts only if this returns: digests are checked last
 */
export async function flattenLayers(
  layers: readonly Layer[],
  sink: ContentSink,
  options: FlattenOptions = {},
): Promise<FlattenedLayers> {
  const target = new LayeredTree();
  const work = new Work(target, sink, layers.length, options);
  for (const [index, layer] of layers.entries()) {
    target.beginLayer(index);
    try {
      await work.apply(membersOf(layer), index, true);
    } catch (error) {
      throw withContext(error, `Layer ${index + 1} of ${layers.length} (${layer.diffId.slice(0, 12)})`);
    }
  }
  return { tree: target.tree, layerOf: target.layerOf };
}

function membersOf(layer: Layer): AsyncIterable<TarMember> {
  // The diff id guards against an archive that is cut off, and some builders write no end mark.
  return "members" in layer ? layer.members() : decodeTar(layer.open(), { endMark: "optional" });
}

/** The tree of one archive in which names have no second meaning (no whiteouts): a package's files. */
export async function unpackMembers(
  members: AsyncIterable<TarMember>,
  sink: ContentSink,
  options: FlattenOptions = {},
): Promise<MutableTree> {
  const target = new LayeredTree();
  await new Work(target, sink, 1, options).apply(members, 0, false);
  return target.tree;
}

class Work {
  readonly #target: LayeredTree;
  readonly #sink: ContentSink;
  readonly #layers: number;
  readonly #options: FlattenOptions;
  #entries = 0;
  #bytes = 0;

  constructor(target: LayeredTree, sink: ContentSink, layers: number, options: FlattenOptions) {
    this.#target = target;
    this.#sink = sink;
    this.#layers = layers;
    this.#options = options;
  }

  async apply(members: AsyncIterable<TarMember>, layer: number, whiteouts: boolean): Promise<void> {
    for await (const member of members) {
      if (this.#options.signal?.aborted) throw new AtomfsError("interrupted", "Interrupted");
      if (++this.#entries > MAX_ENTRIES)
        throw new AtomfsError("bad-data", `Cannot unpack more than ${MAX_ENTRIES} entries`);
      try {
        await this.#applyMember(member, whiteouts);
      } catch (error) {
        throw withContext(
          error,
          `Cannot unpack ${displayText(member.path.slice(0, MAX_PATH) as ByteString)}`,
        );
      }
      this.#bytes += member.size;
      if (this.#entries % PROGRESS_EVERY === 0) this.#report(layer);
    }
    this.#report(layer);
  }

  #report(layer: number): void {
    this.#options.onProgress?.({ layer, layers: this.#layers, entries: this.#entries, bytes: this.#bytes });
  }

  async #applyMember(member: TarMember, whiteouts: boolean): Promise<void> {
    const named = canonical(member.path, "its path");
    const whiteout = whiteouts ? whiteoutOf(named.split("/").slice(1) as ByteString[]) : undefined;
    if (whiteout?.kind === "ignore") return;
    const path = this.#target.locate(named);
    if (path === undefined) {
      // A whiteout where there is no directory hides nothing.
      if (whiteout !== undefined) return;
      throw refused("a directory of its path is not a directory");
    }
    if (whiteout?.kind === "opaque") this.#target.hideLowerChildren(parentPath(path));
    else if (whiteout?.kind === "hide") this.#target.hideLower(joinPath(parentPath(path), whiteout.name));
    else if (member.type === "hardlink") this.#link(path, member.linkTarget);
    else await this.#place(path, member);
  }

  async #place(path: TreePath, member: TarMember): Promise<void> {
    if (path === ROOT && member.type !== "dir") throw refused("the root must be a directory");
    this.#target.put(path, await this.#inodeOf(member));
  }

  #link(path: TreePath, linkTarget: ByteString): void {
    const target = this.#target.locate(canonical(linkTarget, "its link target"));
    const inode = target === undefined ? undefined : this.#target.tree.get(target);
    if (target === undefined || inode === undefined)
      throw refused(`hard link to ${displayText(linkTarget)}, which does not exist`);
    if (inode.type === "dir") throw refused(`hard link to the directory ${displayText(linkTarget)}`);
    if (path === ROOT || target.startsWith(`${path}/`))
      throw refused("hard link in place of its target's directory");
    this.#target.put(path, inode);
  }

  async #inodeOf(member: TarMember): Promise<Inode> {
    const { mode, uid, gid, mtime, xattrs, major, minor } = member;
    for (const [name, value] of xattrs) {
      if (name.length > MAX_XATTR_NAME || value.length > MAX_XATTR_VALUE)
        throw refused(
          `its xattr ${displayText(name.slice(0, MAX_XATTR_NAME) as ByteString)} is too long for Linux`,
        );
    }
    const attributes = { mode, uid, gid, mtime, xattrs };
    switch (member.type) {
      case "file":
        return { ...attributes, type: "file", content: await this.#store(member) };
      case "symlink":
        if (member.linkTarget === "" || member.linkTarget.length >= MAX_PATH)
          throw refused("its symlink target is empty or too long");
        return { ...attributes, type: "symlink", target: member.linkTarget };
      case "char":
      case "block":
        return { ...attributes, type: member.type, major, minor };
      case "dir":
      case "fifo":
        return { ...attributes, type: member.type };
      case "hardlink":
        throw new TypeError("A hard link has no inode of its own");
    }
  }

  async #store({ content, size }: TarMember): Promise<FileContent> {
    if (size > WHOLE_MAX) return this.#sink.put(content, size);
    const pieces: Uint8Array[] = [];
    for await (const piece of content) pieces.push(piece);
    return this.#sink.put(pieces.length > 1 ? [Buffer.concat(pieces)] : pieces, size);
  }
}

function canonical(name: ByteString, what: string): TreePath {
  if (name === "") throw refused(`${what} is empty`);
  const path = parseTreePath(name);
  if (path === undefined) throw refused(`${what} contains ".." or NUL`);
  if (path !== ROOT && baseName(path) === "") throw refused(`${what} has no name`);
  return path;
}

function refused(why: string): AtomfsError {
  return new AtomfsError("bad-data", why);
}

function withContext(error: unknown, context: string): unknown {
  if (!(error instanceof AtomfsError)) return error;
  return new AtomfsError(error.kind, `${context}: ${error.message}`, { hints: error.hints, cause: error });
}
