import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from "node:fs";
import {
  type ByteString,
  baseName,
  compareBytes,
  displayText,
  fromBytes,
  fromText,
  joinPath,
  parentPath,
  ROOT,
  type TreePath,
  toBytes,
} from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { EMPTY_XATTRS } from "../core/tree.ts";
import type { TarHeader, TarMember } from "../formats/tar/member.ts";
import type { SharedDirectory } from "../store/adopt.ts";
import { readXattrs } from "../sys/xattr.ts";
import type { SharedFiles } from "./shared-files.ts";

const OVERLAY = "trusted.overlay.";
/** Overlay shows an attribute of this name as one of its own (since Linux 6.7). */
const ESCAPED = "trusted.overlay.overlay.";
/** Of the host's policy, not of the image. */
const SELINUX = "security.selinux";
/** c/storage's `force_mask`: the image's mode and owner are in it, those of the file are others. */
const OVERRIDE_STAT = "user.containers.override_stat";
const WHITEOUT_PREFIX = fromText(".wh.");
const OPAQUE_NAME = fromText(".wh..wh..opq");
const NANOSECONDS = 1_000_000_000n;

const TYPES = { dir: 4n, file: 8n, symlink: 10n, char: 2n, block: 6n, fifo: 1n, socket: 12n } as const;

/** What overlay's own attributes say of a name (Linux, Documentation/filesystems/overlayfs.rst). */
type Marks = { readonly opaque: boolean; readonly whiteout: boolean };

/**
 * An unpacked layer as the members of a tar: parents first, names in byte order, whiteouts and opaque marks in the
 * form of OCI layers. Sockets are left out: no layer can hold them.
 * @throws AtomfsError "unsupported" where a file's data, mode or owner are somewhere else
 */
export async function* walkLayer(
  directory: SharedDirectory,
  files: SharedFiles,
): AsyncGenerator<TarMember, void, void> {
  const firstNames = new Map<string, TreePath>();
  const pending: TreePath[] = [ROOT];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const place = Buffer.concat([
      Buffer.from(directory.root.procPath),
      toBytes(joinPath(path, "." as ByteString)),
    ]);
    const name = path === ROOT ? place : place.subarray(0, -2);
    const stat = lstatSync(name, { bigint: true });
    const { xattrs, marks } = readMarks(name, path);
    if (marks.whiteout || isWhiteoutDevice(stat)) {
      yield markMember(parentPath(path), `${WHITEOUT_PREFIX}${baseName(path)}` as ByteString);
      continue;
    }
    if (path !== ROOT && baseName(path).startsWith(WHITEOUT_PREFIX))
      throw new AtomfsError(
        "bad-data",
        `Cannot read ${displayText(path)}: no unpacked layer has such a name`,
      );
    const member = memberOf(path, name, stat, xattrs, firstNames, files);
    if (member === undefined) continue;
    yield member;
    if (member.type !== "dir") continue;
    if (marks.opaque) yield markMember(path, OPAQUE_NAME);
    const names = readdirSync(name, { encoding: "buffer" }).map(fromBytes).sort(compareBytes);
    for (const child of names.reverse()) pending.push(joinPath(path, child));
  }
}

function memberOf(
  path: TreePath,
  name: Buffer,
  stat: BigIntStats,
  xattrs: TarHeader["xattrs"],
  firstNames: Map<string, TreePath>,
  files: SharedFiles,
): TarMember | undefined {
  const mtimeSec =
    (stat.mtimeNs - (((stat.mtimeNs % NANOSECONDS) + NANOSECONDS) % NANOSECONDS)) / NANOSECONDS;
  const header: Omit<TarHeader, "type"> = {
    path: path === ROOT ? ("." as ByteString) : path,
    linkTarget: "" as ByteString,
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: { sec: Number(mtimeSec), nsec: Number(stat.mtimeNs - mtimeSec * NANOSECONDS) },
    size: 0,
    xattrs,
    major: 0,
    minor: 0,
  };
  const type = stat.mode >> 12n;
  if (type === TYPES.dir) return { ...header, type: "dir", content: nothing() };
  const key = `${stat.dev}:${stat.ino}`;
  const first = stat.nlink > 1n ? firstNames.get(key) : undefined;
  if (first !== undefined) return { ...header, type: "hardlink", linkTarget: first, content: nothing() };
  firstNames.set(key, path);
  switch (type) {
    case TYPES.file: {
      const size = Number(stat.size);
      return { ...header, type: "file", size, content: files.read(path, size) };
    }
    case TYPES.symlink: {
      const linkTarget = fromBytes(readlinkSync(name, { encoding: "buffer" }));
      return { ...header, type: "symlink", linkTarget, content: nothing() };
    }
    case TYPES.char:
    case TYPES.block: {
      const kind = type === TYPES.char ? "char" : "block";
      return { ...header, type: kind, ...deviceOf(stat.rdev), content: nothing() };
    }
    case TYPES.fifo:
      return { ...header, type: "fifo", content: nothing() };
    default:
      return undefined;
  }
}

function markMember(directory: TreePath, name: ByteString): TarMember {
  return {
    path: joinPath(directory, name),
    type: "file",
    linkTarget: "" as ByteString,
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: { sec: 0, nsec: 0 },
    size: 0,
    xattrs: EMPTY_XATTRS,
    major: 0,
    minor: 0,
    content: nothing(),
  };
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {}

function readMarks(name: Buffer, path: TreePath): { xattrs: TarHeader["xattrs"]; marks: Marks } {
  const all = readXattrs(name);
  if (all.size === 0) return { xattrs: EMPTY_XATTRS, marks: { opaque: false, whiteout: false } };
  const xattrs = new Map<ByteString, ByteString>();
  let marks: Marks = { opaque: false, whiteout: false };
  for (const [key, value] of all) {
    const own = key.startsWith(OVERLAY) && !key.startsWith(ESCAPED) ? key.slice(OVERLAY.length) : undefined;
    // "x" says that whiteouts below are attributes; it hides nothing.
    if (own === "opaque") marks = { ...marks, opaque: value === "y" };
    else if (own === "whiteout") marks = { ...marks, whiteout: true };
    else if (own === "metacopy" || own === "redirect" || key === OVERRIDE_STAT) {
      throw new AtomfsError(
        "unsupported",
        `Cannot read ${displayText(path)}: ${key} says that not all of it is in the layer's directory`,
      );
    } else if (own === undefined && key !== SELINUX)
      xattrs.set((key.startsWith(ESCAPED) ? OVERLAY + key.slice(ESCAPED.length) : key) as ByteString, value);
  }
  return { xattrs, marks };
}

function isWhiteoutDevice(stat: BigIntStats): boolean {
  return stat.mode >> 12n === TYPES.char && stat.rdev === 0n;
}

/** Both halves of Linux's dev_t are split in two (glibc's gnu_dev_major). */
function deviceOf(rdev: bigint): { major: number; minor: number } {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
  };
}
