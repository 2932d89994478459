import { ROOT, treePath } from "../../src/core/bytestring.ts";
import type { Sha256, VerityDigest } from "../../src/core/digest.ts";
import { DEFAULT_ROOT, EMPTY_XATTRS, type FileInode } from "../../src/core/tree.ts";
import type { Atom } from "../../src/formats/atom/atom.ts";
import { decodeAtom, encodeAtom } from "../../src/formats/atom/codec.ts";
import { fuzz } from "./harness.ts";

const attributes = { mode: 0o644, uid: 0, gid: 0, mtime: { sec: 1, nsec: 2 }, xattrs: EMPTY_XATTRS };
const file: FileInode = {
  type: "file",
  ...attributes,
  content: { kind: "object", digest: "0f".repeat(32) as VerityDigest, size: 100 },
};
const identity = { name: "a", architecture: "amd64", version: "1", source: "a", sourceVersion: "1" };

const seeds: readonly Atom[] = [
  {
    origin: { kind: "layer", diffId: "ab".repeat(32) as Sha256 },
    control: [],
    entries: [
      { path: ROOT, inode: DEFAULT_ROOT },
      { path: treePath("/a"), inode: file, link: treePath("/a") },
      { path: treePath("/b"), inode: file, link: treePath("/a") },
      { path: treePath("/c"), inode: { type: "char", ...attributes, major: 1, minor: 3 } },
      { path: treePath("/l"), inode: { type: "symlink", ...attributes, target: treePath("/a") } },
    ],
  },
  {
    origin: { kind: "deb", package: identity, deb: "cd".repeat(32) as Sha256 },
    control: [{ name: treePath("/x").slice(1) as never, inode: file }],
    entries: [
      { path: treePath("/a"), inode: { ...file, xattrs: new Map([[treePath("/n"), treePath("/v")]]) } },
    ],
  },
];

/** One value, one spelling: whatever is accepted would be written in the same bytes. */
function checkCanonical(bytes: Uint8Array): void {
  const again = encodeAtom(decodeAtom(bytes));
  if (!Buffer.from(again).equals(bytes)) throw new Error("accepted what encodeAtom would not write");
}

fuzz(
  "atom",
  seeds.map((atom) => encodeAtom(atom)),
  checkCanonical,
);
