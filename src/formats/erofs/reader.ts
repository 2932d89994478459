import type { ByteString } from "../../core/bytestring.ts";
import { fromBytes } from "../../core/bytestring.ts";
import type { VerityDigest } from "../../core/digest.ts";
import { EMPTY_XATTRS, type Tree } from "../../core/tree.ts";
import { type RawEntry, readDirectory } from "./directory.ts";
import { ErofsImage, type RawInode } from "./image.ts";
import * as layout from "./layout.ts";
import { DATA_LAYOUTS } from "./layout.ts";
import { contentOf, type ErofsInode, type ErofsNode, isWhiteout, treeOfNodes } from "./node.ts";
import * as overlay from "./overlay.ts";

/** libcomposefs's own limit for file content in the image. */
const MAX_INLINE_READ = 5000;

/**
 * The tree of a composefs image, without what composefs added: the inverse of `writeErofs`. Any bytes may be given.
 * @throws AtomfsError "bad-data" for what is no composefs image, is damaged, or uses what the format page does not list
 */
export function readErofs(image: Uint8Array): Tree {
  return treeOfNodes(readNodes(image));
}

/** The objects that an image needs. @throws AtomfsError "bad-data" as `readErofs` */
export function objectsOf(image: Uint8Array): Set<VerityDigest> {
  return new Set(objectSizesOf(image).keys());
}

/** The same, with how many bytes each has. */
export function objectSizesOf(image: Uint8Array): Map<VerityDigest, number> {
  const objects = new Map<VerityDigest, number>();
  const pending = [readNodes(image)];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const { inode } = node;
    if (inode.type === "file" && inode.content.kind === "object")
      objects.set(inode.content.digest, inode.content.size);
    for (const entry of node.entries) pending.push(entry.node);
  }
  return objects;
}

type Directory = { readonly raw: RawInode; readonly node: ErofsNode; readonly parentNid: number };

/** As `readErofs`, for any composefs image: with link counts, and data that is no object. */
export function readNodes(bytes: Uint8Array): ErofsNode {
  const image = new ErofsImage(bytes);
  const byNid = new Map<number, ErofsNode>();
  const rawRoot = image.inode(image.rootNid);
  if (rawRoot.type !== "dir") throw image.cursor.bad("the root is no directory");
  const root = nodeOf(image, rawRoot, true);
  byNid.set(rawRoot.nid, root);
  const pending: Directory[] = [{ raw: rawRoot, node: root, parentNid: rawRoot.nid }];
  for (let dir = pending.pop(); dir !== undefined; dir = pending.pop()) {
    let holdsWhiteouts = false;
    for (const entry of readDirectory(image, dir.raw, dir.parentNid)) {
      let node = byNid.get(entry.nid);
      if (node === undefined) {
        const raw = image.inode(entry.nid);
        if (raw.type === "char" && raw.data === 0) {
          checkFanout(image, entry, dir.node === root);
          continue;
        }
        node = nodeOf(image, raw, false);
        byNid.set(entry.nid, node);
        if (raw.type === "dir") pending.push({ raw, node, parentNid: dir.raw.nid });
      } else if (node.inode.type === "dir") throw image.cursor.bad(`directory ${entry.nid} has two names`);
      const type = isWhiteout(node.inode) ? "file" : node.inode.type;
      if (entry.fileType !== layout.FILE_TYPES[type].dirent) {
        throw image.cursor.bad(
          `entry of inode ${entry.nid} has file type ${entry.fileType}, the inode ${type}`,
        );
      }
      holdsWhiteouts ||= isWhiteout(node.inode);
      dir.node.entries.push({ name: entry.name, node });
    }
    if (holdsWhiteouts) dropWhiteoutMarks(dir.node.inode.xattrs as Map<ByteString, ByteString>);
  }
  return root;
}

function checkFanout(image: ErofsImage, { name, nid }: RawEntry, isRoot: boolean): void {
  if (!isRoot || !/^[0-9a-f]{2}$/.test(name)) {
    throw image.cursor.bad(
      `inode ${nid} is a whiteout that is neither escaped nor one of the root's 00 to ff`,
    );
  }
}

function dropWhiteoutMarks(xattrs: Map<ByteString, ByteString>): void {
  for (const [stored, value] of overlay.WHITEOUT_PARENT_XATTRS) {
    const name = stored.replace(overlay.ESCAPED, overlay.OVERLAY) as ByteString;
    if (xattrs.get(name) === value) xattrs.delete(name);
  }
}

function nodeOf(image: ErofsImage, raw: RawInode, isRoot: boolean): ErofsNode {
  const { mode, uid, gid, mtime } = raw;
  const { xattrs, isEscapedWhiteout } = undecorate(image, raw, isRoot);
  const common = { mode, uid, gid, mtime, xattrs };
  return { inode: inodeOf(image, raw, common, isEscapedWhiteout), links: raw.links, entries: [] };
}

type Common = Pick<ErofsInode, "mode" | "uid" | "gid" | "mtime" | "xattrs">;

function inodeOf(image: ErofsImage, raw: RawInode, common: Common, isEscapedWhiteout: boolean): ErofsInode {
  const { type } = raw;
  if (isEscapedWhiteout) return { ...common, type: "char", major: 0, minor: 0 };
  switch (type) {
    case "file":
      return { ...common, type, content: readContent(image, raw) };
    case "symlink": {
      const target = fromBytes(image.flatData(raw, layout.MAX_SYMLINK));
      if (target === "" || target.includes("\0"))
        throw image.cursor.bad(`symlink ${raw.nid} has no valid target`);
      return { ...common, type, target };
    }
    case "char":
    case "block":
      return { ...common, type, ...layout.decodeDevice(raw.data) };
    case "dir":
    case "fifo":
    case "socket":
      return { ...common, type };
  }
}

function readContent(image: ErofsImage, raw: RawInode): (ErofsInode & { type: "file" })["content"] {
  if (raw.dataLayout !== DATA_LAYOUTS.chunkBased) {
    if (raw.xattrs.has(overlay.METACOPY) || raw.xattrs.has(overlay.REDIRECT)) {
      throw image.cursor.bad(`file ${raw.nid} has both content and a redirect`);
    }
    return { kind: "inline", bytes: fromBytes(image.flatData(raw, MAX_INLINE_READ)) };
  }
  checkChunks(image, raw);
  const digest = overlay.digestOfMetacopy(raw.xattrs.get(overlay.METACOPY) ?? ("invalid" as ByteString));
  const redirect = raw.xattrs.get(overlay.REDIRECT);
  if (digest === "invalid" || redirect === undefined || !redirect.startsWith("/") || redirect === "/") {
    throw image.cursor.bad(`file ${raw.nid} has no valid metacopy and redirect`);
  }
  return contentOf(redirect.slice(1) as ByteString, raw.size, digest);
}

/** All of an external file's data must be a hole, cut as the writer cuts it. */
function checkChunks(image: ErofsImage, raw: RawInode): void {
  const { cursor } = image;
  const { format, count } = layout.chunksOf(raw.size);
  if (raw.size === 0 || raw.data !== format || count > layout.MAX_CHUNKS) {
    throw cursor.bad(`file ${raw.nid} of ${raw.size} bytes has chunk format ${raw.data}`);
  }
  image.spend(count * 4, "chunks");
  cursor.seek(raw.bodyEnd, "chunks");
  for (let i = 0; i < count; i++) {
    if (cursor.u32("chunk") !== layout.NULL_CHUNK) throw cursor.bad(`file ${raw.nid} has data in the image`);
  }
}

/** The xattrs as they were before composefs added its own. */
function undecorate(
  image: ErofsImage,
  raw: RawInode,
  isRoot: boolean,
): { readonly xattrs: ErofsInode["xattrs"]; readonly isEscapedWhiteout: boolean } {
  const isEscapedWhiteout =
    raw.type === "file" && raw.size === 0 && raw.xattrs.get(overlay.ESCAPED_WHITEOUT) === "";
  if (raw.xattrs.size === 0) return { xattrs: EMPTY_XATTRS, isEscapedWhiteout };
  const xattrs = new Map<ByteString, ByteString>();
  for (const [name, value] of raw.xattrs) {
    if (name.startsWith(overlay.ESCAPED)) {
      if (isEscapedWhiteout && name === overlay.ESCAPED_WHITEOUT) continue;
      xattrs.set((overlay.OVERLAY + name.slice(overlay.ESCAPED.length)) as ByteString, value);
    } else if (!name.startsWith(overlay.OVERLAY)) {
      if (isEscapedWhiteout && name === overlay.USER_WHITEOUT && value === "") continue;
      xattrs.set(name, value);
    } else if (!isExpected(raw, name, isRoot)) {
      throw image.cursor.bad(`inode ${raw.nid} has the xattr "${name}" where composefs would not put it`);
    }
  }
  return { xattrs: xattrs.size === 0 ? EMPTY_XATTRS : xattrs, isEscapedWhiteout };
}

function isExpected(raw: RawInode, name: ByteString, isRoot: boolean): boolean {
  if (name === overlay.OPAQUE) return isRoot;
  return raw.type === "file" && (name === overlay.METACOPY || name === overlay.REDIRECT);
}
