import { constants, fstatSync, openSync, readSync } from "node:fs";
import type { TreePath } from "../core/bytestring.ts";
import { Fd, O_PATH } from "./fd.ts";
import { openInRoot } from "./openat2.ts";

/** An open file of a tree that somebody else makes. */
export type RootFile = {
  readonly fd: Fd;
  /** In bytes, when it was opened. Sparse files have any size; those of /proc and /sys, which may keep their reader waiting, 0 or one page. */
  readonly size: number;
};

/** Errors of `openFileInRoot` and of reading that say of the tree, not of the machine, that nothing is to be read there. */
export const UNREADABLE: readonly string[] =
  "ENOENT ENOTDIR ELOOP ENAMETOOLONG EACCES EPERM EAGAIN EIO ENXIO".split(" ");

/**
 * A regular file of a tree that a container or an image makes, for reading; undefined for a pipe, a device and every other type:
 * opening a pipe may wait, opening a device may do anything. Symlinks stay in `root`.
 * @param accept whether it is opened at all; gets a descriptor that only names it
 * @throws an error with the errno name as its code if there is nothing that can be opened; EAGAIN if a process holds a lease on it
 */
export function openFileInRoot(
  root: Fd,
  path: TreePath,
  accept: (name: Fd, size: number) => boolean = () => true,
): RootFile | undefined {
  using name = openInRoot(root, path, O_PATH);
  const stat = fstatSync(name.number);
  if (!stat.isFile() || !accept(name, stat.size)) return undefined;
  return { fd: new Fd(openSync(name.procPath, constants.O_RDONLY | constants.O_NONBLOCK)), size: stat.size };
}

/** The first bytes of a file, at most `maxBytes` and at most its size: no more than these are ever in memory. */
export function readStart({ fd, size }: RootFile, maxBytes: number): Buffer {
  const bytes = Buffer.alloc(Math.min(size, maxBytes));
  let done = 0;
  for (let got = -1; done < bytes.length && got !== 0; done += got)
    got = readSync(fd.number, bytes, done, bytes.length - done, done);
  return bytes.subarray(0, done);
}
