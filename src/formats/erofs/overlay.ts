import { type ByteString, fromBytes } from "../../core/bytestring.ts";
import type { VerityDigest } from "../../core/digest.ts";
import { type ErofsInode, objectPath } from "./node.ts";

/**
 * What composefs adds to a tree so that overlayfs finds file contents and shows the tree as it was
 * (libcomposefs, "overlayfs decoration"; Linux Documentation/filesystems/overlayfs.rst for each xattr).
 */
export const OVERLAY = "trusted.overlay.";
/** An image's own trusted.overlay.* xattrs, so that overlayfs hands them on instead of obeying them. */
export const ESCAPED = "trusted.overlay.overlay.";
export const METACOPY: ByteString = "trusted.overlay.metacopy" as ByteString;
export const REDIRECT: ByteString = "trusted.overlay.redirect" as ByteString;
export const OPAQUE: ByteString = "trusted.overlay.opaque" as ByteString;
export const ESCAPED_WHITEOUT: ByteString = "trusted.overlay.overlay.whiteout" as ByteString;
export const USER_WHITEOUT: ByteString = "user.overlay.whiteout" as ByteString;
export const SELINUX: ByteString = "security.selinux" as ByteString;

/** On a directory that holds whiteouts. */
export const WHITEOUT_PARENT_XATTRS: readonly (readonly [ByteString, ByteString])[] = (
  [
    ["trusted.overlay.overlay.whiteouts", ""],
    ["user.overlay.whiteouts", ""],
    ["trusted.overlay.overlay.opaque", "x"],
    ["user.overlay.opaque", "x"],
  ] as const
).map(([name, value]) => [name as ByteString, value as ByteString]);

const EMPTY = "" as ByteString;
/** overlay.metacopy with a digest: version 0, length 36, no flags, FS_VERITY_HASH_ALG_SHA256, then the digest. */
const METACOPY_PREFIX = "\u0000\u0024\u0000\u0001";
const METACOPY_LENGTH = 36;

export type XattrPair = readonly [name: ByteString, value: ByteString];

/** The xattrs that the image holds for an inode, in no order. */
export function decoratedXattrs(
  inode: ErofsInode,
  place: {
    readonly isRoot: boolean;
    readonly holdsWhiteouts: boolean;
    /** It is a whiteout of the tree, not one that composefs puts in the root. */
    readonly isEscapedWhiteout: boolean;
  },
): XattrPair[] {
  const pairs: XattrPair[] = [];
  for (const pair of inode.xattrs) {
    if (pair[0].startsWith(OVERLAY))
      pairs.push([(ESCAPED + pair[0].slice(OVERLAY.length)) as ByteString, pair[1]]);
    else pairs.push(pair);
  }
  if (inode.type === "file" && inode.content.kind !== "inline") {
    const { content } = inode;
    const payload = content.kind === "object" ? objectPath(content.digest) : content.payload;
    pairs.push([METACOPY, metacopyValue(content.digest)], [REDIRECT, `/${payload}` as ByteString]);
  } else if (place.isEscapedWhiteout) {
    setPair(pairs, [ESCAPED_WHITEOUT, EMPTY]);
    setPair(pairs, [USER_WHITEOUT, EMPTY]);
  }
  if (place.holdsWhiteouts) for (const pair of WHITEOUT_PARENT_XATTRS) setPair(pairs, pair);
  if (place.isRoot) pairs.push([OPAQUE, "y" as ByteString]);
  return pairs;
}

function setPair(pairs: XattrPair[], pair: XattrPair): void {
  const index = pairs.findIndex(([name]) => name === pair[0]);
  if (index === -1) pairs.push(pair);
  else pairs[index] = pair;
}

function metacopyValue(digest: VerityDigest | undefined): ByteString {
  return digest === undefined
    ? EMPTY
    : ((METACOPY_PREFIX + Buffer.from(digest, "hex").toString("latin1")) as ByteString);
}

/** The digest in an overlay.metacopy xattr; undefined if it has none. "invalid" for anything else. */
export function digestOfMetacopy(value: ByteString): VerityDigest | undefined | "invalid" {
  if (value === "") return undefined;
  if (value.length !== METACOPY_LENGTH || !value.startsWith(METACOPY_PREFIX)) return "invalid";
  return Buffer.from(value.slice(METACOPY_PREFIX.length), "latin1").toString("hex") as VerityDigest;
}

/** "00" to "ff": whiteouts of these names in the root hide the directories of the objects on kernels without data-only layers. */
export const FANOUT_NAMES: readonly ByteString[] = Array.from({ length: 256 }, (_, i) =>
  fromBytes(Buffer.from(i.toString(16).padStart(2, "0"))),
);
