import { type ByteString, baseName, type TreePath } from "../core/bytestring.ts";
import { contentSize, type Inode, sameInode, type Tree } from "../core/tree.ts";
import type { ElfInfo } from "../formats/elf/elf.ts";
import type { ElfOf } from "../molecules/ldconfig.ts";

/** What two trees differ in, as far as a dynamic linker could notice. */
export type ElfChanges = {
  /** The search for libraries itself may go another way, so that every file is affected. */
  readonly everything: boolean;
  /** Names by which a changed library can be asked for. */
  readonly names: ReadonlySet<ByteString>;
  readonly paths: ReadonlySet<TreePath>;
  /** The changed files as they were and as they are. */
  readonly before: readonly ElfInfo[];
  readonly after: readonly ElfInfo[];
};

const MIN_ELF_SIZE = 52;

function isDebugFile(path: TreePath): boolean {
  return path.endsWith(".debug") || path.startsWith("/usr/lib/debug/");
}

function sameForLoader(a: Inode | undefined, b: Inode | undefined): boolean {
  if (a === b) return true;
  if (a?.type !== b?.type || a === undefined || b === undefined) return false;
  if (a.type !== "file" && a.type !== "symlink") return true;
  return sameInode(
    { ...a, mode: 0, uid: 0, gid: 0, xattrs: b.xattrs },
    { ...b, mode: 0, uid: 0, gid: 0 },
    {
      mtime: false,
    },
  );
}

function elfAt(inode: Inode | undefined, elfOf: ElfOf): ElfInfo | undefined {
  if (inode?.type !== "file" || contentSize(inode.content) < MIN_ELF_SIZE) return undefined;
  return elfOf(inode.content);
}

export function changedElves(before: Tree, after: Tree, elfOf: ElfOf): ElfChanges {
  const names = new Set<ByteString>();
  const paths = new Set<TreePath>();
  const old: ElfInfo[] = [];
  const now: ElfInfo[] = [];
  let everything = false;
  const look = (path: TreePath): void => {
    const was = before.get(path);
    const is = after.get(path);
    if (sameForLoader(was, is) || isDebugFile(path)) return;
    if (path.startsWith("/etc/ld.so.conf") || path.startsWith("/etc/ld-musl")) everything = true;
    const oldInfo = elfAt(was, elfOf);
    const newInfo = elfAt(is, elfOf);
    if (oldInfo !== undefined) old.push(oldInfo);
    if (newInfo !== undefined) now.push(newInfo);
    const isLink = was?.type === "symlink" || is?.type === "symlink";
    if (oldInfo === undefined && newInfo === undefined && !isLink) return;
    // A link that is no library's name may be a directory on the way to some.
    if (isLink && !path.includes(".so") && (was?.type === "dir" || is?.type === "dir")) everything = true;
    paths.add(path);
    names.add(baseName(path));
    for (const info of [oldInfo, newInfo]) {
      if (info !== undefined && info.soname !== "") names.add(info.soname);
    }
  };
  for (const path of after.keys()) look(path);
  for (const path of before.keys()) if (!after.has(path)) look(path);
  return { everything, names, paths, before: old, after: now };
}

/** The dynamic programs and libraries of a tree. Files without any sign of being one are not opened. */
export function elvesOf(tree: Tree, elfOf: ElfOf): Map<TreePath, ElfInfo> {
  const elves = new Map<TreePath, ElfInfo>();
  for (const [path, inode] of tree) {
    if (inode.type !== "file" || isDebugFile(path)) continue;
    if ((inode.mode & 0o111) === 0 && !baseName(path).includes(".so") && !path.endsWith(".node")) continue;
    const info = elfAt(inode, elfOf);
    if (info?.dynamic === true) elves.set(path, info);
  }
  return elves;
}

/**
 * The files that changed or whose libraries, or theirs in turn, have the name of something changed: all that can
 * behave in another way. Goes by names only, so it may be too many, never too few.
 */
export function affectedElves(
  tree: Tree,
  elves: ReadonlyMap<TreePath, ElfInfo>,
  changes: ElfChanges,
  preloaded: readonly ByteString[],
): TreePath[] {
  if (changes.everything) return [...elves.keys()];
  const users = new Map<ByteString, TreePath[]>();
  const aliases = new Map<ByteString, ByteString[]>();
  const add = <T>(map: Map<ByteString, T[]>, key: ByteString, value: T): void => {
    const list = map.get(key);
    if (list === undefined) map.set(key, [value]);
    else list.push(value);
  };
  for (const [path, info] of elves) {
    for (const name of info.needed) add(users, baseName(name as TreePath), path);
    if (info.interpreter === "") continue;
    add(users, baseName(info.interpreter as TreePath), path);
    for (const name of preloaded) add(users, name, path);
  }
  for (const [path, inode] of tree) {
    if (inode.type !== "symlink" || !path.includes(".so")) continue;
    add(aliases, baseName(inode.target as TreePath), baseName(path));
  }
  const affected = new Set<TreePath>([...changes.paths].filter((path) => elves.has(path)));
  // Sets may grow while they are read, and are then read to their new end.
  const names = new Set(changes.names);
  for (const name of names) {
    for (const alias of aliases.get(name) ?? []) names.add(alias);
    for (const path of users.get(name) ?? []) {
      affected.add(path);
      names.add(baseName(path));
      const soname = elves.get(path)?.soname ?? "";
      if (soname !== "") names.add(soname as ByteString);
    }
  }
  return [...affected];
}
