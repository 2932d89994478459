import type { ByteString, TreePath } from "../../core/bytestring.ts";
import type { Sha256 } from "../../core/digest.ts";
import type { Inode } from "../../core/tree.ts";

/** Implements docs/formats/atom.md. */
export const ATOM_FORMAT_VERSION = 1;

/** What a Debian package calls itself; `source` and `sourceVersion` are filled in even where the stanza leaves them out. */
export type DebIdentity = {
  readonly name: string;
  readonly architecture: string;
  readonly version: string;
  readonly source: string;
  readonly sourceVersion: string;
};

/** Where an atom's entries come from. */
export type AtomOrigin =
  /** A package as it was found installed in an image: its unchanged files and its files of the package database. */
  | { readonly kind: "installed"; readonly package: DebIdentity }
  /** A package file: everything in data.tar, and control.tar under the name `control`. */
  | { readonly kind: "deb"; readonly package: DebIdentity; readonly deb: Sha256 }
  /** What no package owns of one image layer. */
  | { readonly kind: "layer"; readonly diffId: Sha256 };

export type AtomEntry = {
  readonly path: TreePath;
  readonly inode: Inode;
  /**
   * Names a group of hard links; absent for a file of one name. Entries of one group have equal inodes.
   * A key that starts with "/" is meant within the atom; one that starts with "image:" within the image.
   */
  readonly link?: ByteString;
};

/** A member of a package file's control.tar: "postinst", "md5sums". Kept as an entry under its own name. */
export type ControlMember = { readonly name: ByteString; readonly inode: Inode & { readonly type: "file" } };

export type Atom = {
  readonly origin: AtomOrigin;
  /** Strictly ascending by path. */
  readonly entries: readonly AtomEntry[];
  /** Only for kind "deb"; strictly ascending by name. */
  readonly control: readonly ControlMember[];
};
