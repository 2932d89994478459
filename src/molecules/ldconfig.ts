import {
  type ByteString,
  fromBytes,
  fromText,
  joinPath,
  type TreePath,
  treePath,
} from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import {
  childrenByDirectory,
  contentSize,
  type FileContent,
  type FileInode,
  type Inode,
  type ReadObject,
  readContent,
  type Tree,
} from "../core/tree.ts";
import type { ElfInfo } from "../formats/elf/elf.ts";
import { compareLibraryNames } from "../formats/ldcache/compare.ts";
import { decodeLdCache, encodeLdCache, type LdCacheEntry } from "../formats/ldcache/ldcache.ts";
import {
  hasOldHwcaps,
  libraryFlags,
  looksLikeLibrary,
  oldHwcapOfPath,
  oldHwcapSubdirectory,
} from "./ldconfigrules.ts";
import { type ConfiguredDirectory, readLdSoConf } from "./ldsoconf.ts";
import { defaultLibraryDirectories, isMultiarchGlibc, type LibraryAbi } from "./librarydirs.ts";
import { locate } from "./treeglob.ts";

const LD_SO_CACHE = treePath("/etc/ld.so.cache");
const LDCONFIG_PATHS = ["/sbin/ldconfig", "/usr/sbin/ldconfig"].map(fromText);
/** Programs and loaders that tell the tree's own architecture. */
const ABI_WITNESSES = ["/sbin/ldconfig", "/bin/sh", "/usr/bin/env", "/lib64/ld-linux-x86-64.so.2"].map(
  fromText,
);
const X86_64: LibraryAbi = { machine: 62, class: 64, littleEndian: true };
/** ldconfig reads no file that is smaller than an ELF header. */
const MIN_LIBRARY_SIZE = 64;
/** Debian's glibc never changes links of these names (local-ldconfig-ignore-ld.so.diff). */
const LOADER_NAMES = new Set([
  "ld-kfreebsd-x86-64.so.1",
  "ld-linux-aarch64.so.1",
  "ld-linux-aarch64_be.so.1",
  "ld-linux-armhf.so.3",
  "ld-linux-ia64.so.2",
  "ld-linux-mipsn8.so.1",
  "ld-linux-x86-64.so.2",
  "ld-linux.so.2",
  "ld-linux.so.3",
  "ld.so.1",
  "ld64.so.1",
  "ld64.so.2",
]);

/** `elfOf` answers undefined for what is no ELF file or a malformed one. It is asked once a file at most. */
export type ElfOf = (content: FileContent) => ElfInfo | undefined;

export type LdconfigResult = {
  /** What /etc/ld.so.cache would hold. */
  readonly cache: Uint8Array;
  /** Symlinks from a soname to the file that has it, which ldconfig would make or change. */
  readonly missingSonameLinks: readonly { readonly path: TreePath; readonly target: ByteString }[];
  /** Dangling symlinks `*.so.*` that ldconfig would remove. */
  readonly danglingLinks: readonly TreePath[];
};

/** A directory to look for libraries in. `hwcaps` is set below a `glibc-hwcaps` directory. */
type SearchDirectory = {
  readonly spelled: ByteString;
  readonly directory: TreePath;
  readonly hwcaps: ByteString | undefined;
  kind: ConfiguredDirectory["kind"];
};

type Library = { name: ByteString; flags: number; isLink: boolean; isaLevel: number };

type Scan = {
  readonly tree: Tree;
  readonly childrenOf: (directory: TreePath) => readonly ByteString[];
  readonly elfOf: ElfOf;
  /** Whether this glibc (x86, before 2.37) still looks into subdirectories named after hardware. */
  readonly oldHwcaps: boolean;
  readonly directories: SearchDirectory[];
  readonly byDirectory: Map<TreePath, SearchDirectory>;
  readonly entries: LdCacheEntry[];
  readonly hwcapsNames: Set<ByteString>;
  readonly links: { path: TreePath; target: ByteString }[];
  readonly dangling: TreePath[];
};

/** True if the dynamic linker of this tree finds libraries by an ld.so.cache. */
export function usesLdCache(tree: Tree): boolean {
  return tree.get(LD_SO_CACHE)?.type === "file";
}

/** Exactly the bytes that `ldconfig`, run in a chroot of the tree, writes to /etc/ld.so.cache (glibc 2.33 and later). */
export function buildLdCache(tree: Tree, readObject: ReadObject, elfOf: ElfOf): Uint8Array {
  return runLdconfig(tree, readObject, elfOf).cache;
}

/** What `ldconfig`, run in a chroot of the tree, would do. Changes nothing. */
export function runLdconfig(tree: Tree, readObject: ReadObject, elfOf: ElfOf): LdconfigResult {
  const children = childrenByDirectory(tree);
  const childrenOf = (directory: TreePath): readonly ByteString[] => children.get(directory) ?? [];
  const generator = generatorOf(tree, readObject);
  const abi = abiOf(tree, elfOf);
  const scan: Scan = {
    tree,
    childrenOf,
    elfOf,
    oldHwcaps: hasOldHwcaps(abi, generator),
    directories: [],
    byDirectory: new Map(),
    entries: [],
    hwcapsNames: new Set(),
    links: [],
    dangling: [],
  };
  for (const configured of readLdSoConf(tree, childrenOf, readObject)) addConfigured(scan, configured);
  for (const spelled of defaultLibraryDirectories(abi, isMultiarchGlibc(generator))) {
    addConfigured(scan, { spelled, kind: "any" });
  }
  // The list grows while it is read: old hardware subdirectories come to its end.
  for (const directory of scan.directories) searchDirectory(scan, directory);
  const cache = encodeLdCache(
    { entries: scan.entries, generator, littleEndian: abi.littleEndian },
    scan.hwcapsNames,
  );
  return { cache, missingSonameLinks: scan.links, danglingLinks: scan.dangling };
}

function fileAt(tree: Tree, spelled: ByteString): FileInode | undefined {
  const path = locate(tree, spelled);
  const inode = path === undefined ? undefined : tree.get(path);
  return inode?.type === "file" ? inode : undefined;
}

/** ldconfig signs its work. Its name stands in the tree's own ldconfig, else in the cache that is there. */
function generatorOf(tree: Tree, readObject: ReadObject): ByteString {
  for (const path of LDCONFIG_PATHS) {
    const program = fileAt(tree, path);
    if (program === undefined) continue;
    const bytes = Buffer.from(readContent(program.content, readObject));
    const marker = bytes.indexOf(" release version ");
    const start = marker < 0 ? -1 : bytes.lastIndexOf(0, marker) + 1;
    const end = marker < 0 ? -1 : bytes.indexOf(0, marker);
    if (start > 0 && end > 0 && end - start < 256) return fromBytes(bytes.subarray(start, end));
  }
  const cache = fileAt(tree, LD_SO_CACHE as ByteString);
  if (cache === undefined) return "" as ByteString;
  try {
    return decodeLdCache(readContent(cache.content, readObject)).generator;
  } catch (error) {
    if (error instanceof AtomfsError) return "" as ByteString;
    throw error;
  }
}

function abiOf(tree: Tree, elfOf: ElfOf): LibraryAbi {
  for (const path of ABI_WITNESSES) {
    const program = fileAt(tree, path);
    const info = program === undefined ? undefined : elfOf(program.content);
    if (info !== undefined) return info;
  }
  return X86_64;
}

function addDirectory(scan: Scan, added: SearchDirectory): boolean {
  const known = scan.byDirectory.get(added.directory);
  if (known !== undefined) {
    known.kind = added.kind;
    return false;
  }
  scan.byDirectory.set(added.directory, added);
  scan.directories.push(added);
  return true;
}

function addConfigured(scan: Scan, { spelled, kind }: ConfiguredDirectory): void {
  const directory = locate(scan.tree, spelled);
  if (directory === undefined || !scan.tree.has(directory)) return;
  if (!addDirectory(scan, { spelled, directory, hwcaps: undefined, kind })) return;
  const holder = locate(scan.tree, `${spelled}/glibc-hwcaps` as ByteString);
  if (holder === undefined || scan.tree.get(holder)?.type !== "dir") return;
  for (const name of scan.childrenOf(holder)) {
    if (name.startsWith(".") || name.includes(":")) continue;
    const target = locate(scan.tree, joinPath(holder, name) as ByteString);
    if (target === undefined || scan.tree.get(target)?.type !== "dir") continue;
    scan.hwcapsNames.add(name);
    const path = `${spelled}/glibc-hwcaps/${name}` as ByteString;
    addDirectory(scan, { spelled: path, directory: target, hwcaps: name, kind });
  }
}

function searchDirectory(scan: Scan, from: SearchDirectory): void {
  const libraries = new Map<ByteString, Library>();
  for (const name of scan.childrenOf(from.directory)) {
    const path = joinPath(from.directory, name);
    const inode = scan.tree.get(path);
    if (inode?.type !== "file" && inode?.type !== "symlink" && inode?.type !== "dir") continue;
    const subdirectory = scan.oldHwcaps && from.hwcaps === undefined && oldHwcapSubdirectory(name);
    if (!looksLikeLibrary(name) && (inode.type === "file" || (from.hwcaps === undefined && !subdirectory))) {
      continue;
    }
    if (/\.#prelink#(\..{6})?$/s.test(name)) continue;
    const target = inode.type === "symlink" ? locate(scan.tree, path as ByteString) : path;
    const found = target === undefined ? undefined : scan.tree.get(target);
    if (target === undefined || found === undefined) {
      if (name.includes(".so.")) scan.dangling.push(path);
      continue;
    }
    if (found.type === "dir" && subdirectory) {
      const spelled = `${from.spelled}/${name}` as ByteString;
      addDirectory(scan, { spelled, directory: target, hwcaps: undefined, kind: from.kind });
    } else if (found.type === "file") addLibrary(scan, from, libraries, name, inode, found);
  }
  for (const [soname, library] of libraries) recordLibrary(scan, from, soname, library);
}

function addLibrary(
  scan: Scan,
  from: SearchDirectory,
  libraries: Map<ByteString, Library>,
  name: ByteString,
  inode: Inode,
  file: FileInode,
): void {
  if (contentSize(file.content) < MIN_LIBRARY_SIZE) return;
  const info = scan.elfOf(file.content);
  const elfFlags = info === undefined ? undefined : libraryFlags(info);
  if (info === undefined || elfFlags === undefined) return;
  const flags = elfFlags === 1 && from.kind !== "any" ? (from.kind === "libc6" ? 3 : 2) : elfFlags;
  const ownSoname = info.soname === "" ? name : info.soname;
  // A link counts as link if its name is the soname, or is what the linker's -l looks for; else as one more library.
  const isLink =
    inode.type === "symlink" && (name === ownSoname || (name.endsWith(".so") && ownSoname.startsWith(name)));
  const soname = isLink ? name : ownSoname;
  const known = libraries.get(soname);
  if (known === undefined) libraries.set(soname, { name, flags, isLink, isaLevel: info.isaLevel });
  else if (
    (!isLink && known.isLink) ||
    (isLink === known.isLink && compareLibraryNames(known.name, name) < 0)
  ) {
    if (known.flags === 1 || (flags === 1 && known.flags < 4)) known.flags = flags;
    known.name = name;
    known.isLink = isLink;
    known.isaLevel = info.isaLevel;
  }
}

function recordLibrary(scan: Scan, from: SearchDirectory, soname: ByteString, library: Library): void {
  if (from.hwcaps === undefined && !library.isLink) checkSonameLink(scan, from, soname, library);
  const fileName = from.hwcaps === undefined ? soname : library.name;
  scan.entries.push({
    soname,
    path: `${from.spelled}/${fileName}` as ByteString,
    flags: library.flags,
    legacyHwcap: scan.oldHwcaps && from.hwcaps === undefined ? oldHwcapOfPath(from.spelled) : 0n,
    hwcaps: from.hwcaps === undefined ? undefined : { name: from.hwcaps, isaLevel: library.isaLevel },
  });
}

function checkSonameLink(scan: Scan, from: SearchDirectory, soname: ByteString, library: Library): void {
  const link = `${from.directory}/${soname}` as ByteString;
  const linkTarget = locate(scan.tree, link);
  const file = locate(scan.tree, `${from.directory}/${library.name}` as ByteString);
  const existing = linkTarget === undefined ? undefined : scan.tree.get(linkTarget);
  if (existing !== undefined) {
    if (LOADER_NAMES.has(soname) || file === undefined || existing === scan.tree.get(file)) return;
    if (scan.tree.get(link as TreePath)?.type !== "symlink") return;
  }
  scan.links.push({ path: link as TreePath, target: library.name });
}
