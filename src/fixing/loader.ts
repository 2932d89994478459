import { type ByteString, fromText, parentPath, type TreePath } from "../core/bytestring.ts";
import { childrenByDirectory, type ReadObject, type Tree } from "../core/tree.ts";
import type { ElfInfo } from "../formats/elf/elf.ts";
import { type ElfOf, usesLdCache } from "../molecules/ldconfig.ts";
import { readLdSoConf } from "../molecules/ldsoconf.ts";
import { defaultLibraryDirectories, type LibraryAbi, multiarchName } from "../molecules/librarydirs.ts";
import { locate } from "../molecules/treeglob.ts";

/** A file as the dynamic linker has loaded it: by which name, from which real file, for whom. */
export type LoadedObject = {
  /** As the search found it; `$ORIGIN` is its directory. */
  readonly spelled: ByteString;
  readonly path: TreePath;
  readonly info: ElfInfo;
  readonly loadedBy: LoadedObject | undefined;
};

export type MissingLibrary = { readonly neededBy: LoadedObject; readonly name: ByteString };

/** Everything that is in memory once a program or library is loaded, in the order of the symbol search. */
export type Closure = {
  readonly objects: readonly LoadedObject[];
  readonly byName: ReadonlyMap<ByteString, LoadedObject>;
  readonly missing: readonly MissingLibrary[];
};

/** How the dynamic linker of one tree finds libraries. */
export type Loader = {
  readonly isMusl: boolean;
  /** @param hwcaps subdirectory of `glibc-hwcaps` that is preferred wherever it is; "" for none */
  readonly closureOf: (path: TreePath, info: ElfInfo, hwcaps: ByteString) => Closure;
  /** Names of the `glibc-hwcaps` subdirectories that the search can meet. */
  readonly hwcapsNames: readonly ByteString[];
  /** Base names of what LD_PRELOAD loads into every program. */
  readonly preloaded: readonly ByteString[];
};

/** Bound for one closure; the largest real ones have some hundred objects. */
const MAX_OBJECTS = 4096;
const LOADER_DIRECTORIES = ["/lib64", "/lib"].map(fromText);
const LOADER_NAME = /^(ld-linux[^/]*|ld64|ld)\.so\.\d+$/;
const MUSL_DIRECTORIES = ["/lib", "/usr/local/lib", "/usr/lib"].map(fromText);
/** Names that musl's loader answers itself: they are all inside its libc. */
const MUSL_OWN = /^lib(c|pthread|rt|m|dl|util|xnet)\./;
const EM_ARM = 40;
const ARM_FLOAT_ABI = 0x600;

/** Two files can be in one process only if this is equal. */
export function abiKey(info: ElfInfo): string {
  const floatAbi = info.machine === EM_ARM ? info.flags & ARM_FLOAT_ABI : 0;
  return `${info.machine}/${info.class}/${info.littleEndian ? "l" : "b"}/${floatAbi}`;
}

export function makeLoader(
  tree: Tree,
  readObject: ReadObject,
  elfOf: ElfOf,
  environment: readonly string[],
): Loader {
  const children = childrenByDirectory(tree);
  const childrenOf = (directory: TreePath): readonly ByteString[] => children.get(directory) ?? [];
  const names = [...childrenOf("/lib" as TreePath), ...childrenOf("/usr/lib" as TreePath)];
  const has = (prefix: string): boolean => names.some((name) => name.startsWith(prefix));
  const isMusl = has("ld-musl-") && !has("ld-linux") && childrenOf("/lib64" as TreePath).length === 0;
  const configured =
    !isMusl && usesLdCache(tree)
      ? readLdSoConf(tree, childrenOf, readObject).map((directory) => directory.spelled)
      : [];
  const variable = (name: string): string =>
    environment.findLast((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
  const libraryPath = split(variable("LD_LIBRARY_PATH"), /[:;]/);
  const preload = split(variable("LD_PRELOAD"), /[: ]/);
  const found = new Map<string, TreePath | undefined>();
  const directories = new Map<ByteString, TreePath | undefined>();
  const defaults = new Map<string, readonly ByteString[]>();

  /** A name in a directory, all links followed, if it is a library of this kind. */
  const open = (directory: ByteString, name: ByteString, abi: ElfInfo): TreePath | undefined => {
    const key = `${abiKey(abi)} ${directory}/${name}`;
    const known = found.get(key);
    if (known !== undefined || found.has(key)) return known;
    let real = directories.get(directory);
    if (real === undefined && !directories.has(directory)) {
      real = locate(tree, directory);
      directories.set(directory, real);
    }
    const path = real === undefined ? undefined : followLast(tree, `${real}/${name}` as TreePath);
    const inode = path === undefined ? undefined : tree.get(path);
    const info = inode?.type === "file" ? elfOf(inode.content) : undefined;
    const result = info?.dynamic === true && abiKey(info) === abiKey(abi) ? path : undefined;
    found.set(key, result);
    return result;
  };

  const defaultDirectories = (info: ElfInfo): readonly ByteString[] => {
    const key = abiKey(info);
    let list = defaults.get(key);
    if (list === undefined) {
      list = isMusl ? MUSL_DIRECTORIES : glibcDirectories(tree, info);
      defaults.set(key, list);
    }
    return list;
  };

  const searchPath = (object: LoadedObject, root: LoadedObject): ByteString[] => {
    const path: ByteString[] = [];
    const { info } = object;
    // DT_RPATH of the object and of those that made it be loaded; it counts only where there is no DT_RUNPATH.
    if (isMusl || info.runpath.length === 0) {
      for (let at: LoadedObject | undefined = object; at !== undefined; at = at.loadedBy) {
        if (isMusl || at.info.runpath.length === 0) path.push(...expand(at.info.rpath, at));
        if (isMusl) path.push(...expand(at.info.runpath, at));
      }
      if (!isMusl && root !== object && root.info.runpath.length === 0)
        path.push(...expand(root.info.rpath, root));
    }
    path.push(...libraryPath);
    if (!isMusl) path.push(...expand(info.runpath, object));
    if (!info.noDefaultLibraries) path.push(...configured, ...defaultDirectories(info));
    return path;
  };

  const search = (
    name: ByteString,
    object: LoadedObject,
    root: LoadedObject,
    hwcaps: ByteString,
  ): { spelled: ByteString; path: TreePath } | undefined => {
    if (name.includes("/")) {
      const [spelled] = expand([name], object);
      const at = spelled === undefined ? -1 : spelled.lastIndexOf("/");
      if (spelled === undefined) return undefined;
      const path = open(spelled.slice(0, at) as ByteString, spelled.slice(at + 1) as ByteString, object.info);
      return path === undefined ? undefined : { spelled, path };
    }
    const path = searchPath(object, root);
    // The loader itself is in memory already, whatever directory it came from.
    if (isMusl ? MUSL_OWN.test(name) : LOADER_NAME.test(name)) path.unshift(...LOADER_DIRECTORIES);
    for (const directory of path) {
      if (hwcaps !== "") {
        const better = `${directory}/glibc-hwcaps/${hwcaps}` as ByteString;
        const real = open(better, name, object.info);
        if (real !== undefined) return { spelled: `${better}/${name}` as ByteString, path: real };
      }
      const real = open(directory, name, object.info);
      if (real !== undefined) return { spelled: `${directory}/${name}` as ByteString, path: real };
    }
    return undefined;
  };

  const closureOf = (path: TreePath, info: ElfInfo, hwcaps: ByteString): Closure => {
    const root: LoadedObject = { spelled: path, path, info, loadedBy: undefined };
    const objects: LoadedObject[] = [root];
    const byPath = new Map<TreePath, LoadedObject>([[path, root]]);
    const byName = new Map<ByteString, LoadedObject>();
    const missing: MissingLibrary[] = [];
    const isMissing = new Set<ByteString>();
    const register = (object: LoadedObject): void => {
      if (object.info.soname !== "" && !byName.has(object.info.soname))
        byName.set(object.info.soname, object);
    };
    const load = (name: ByteString, by: LoadedObject): void => {
      if (byName.has(name) || objects.length >= MAX_OBJECTS) return;
      const result = search(name, by, root, hwcaps);
      if (result === undefined) {
        if (!isMissing.has(name)) missing.push({ neededBy: by, name });
        isMissing.add(name);
        return;
      }
      let object = byPath.get(result.path);
      if (object === undefined) {
        const inode = tree.get(result.path);
        const loaded = inode?.type === "file" ? elfOf(inode.content) : undefined;
        if (loaded === undefined) return;
        object = { ...result, info: loaded, loadedBy: by };
        byPath.set(result.path, object);
        objects.push(object);
        register(object);
      }
      byName.set(name, object);
    };
    register(root);
    // Only programs are started with LD_PRELOAD; what it names may be absent.
    if (info.interpreter !== "") for (const name of preload) load(name, root);
    if (missing.length > 0) missing.length = 0;
    for (let i = 0; i < objects.length; i++) {
      const object = objects[i];
      if (object !== undefined) for (const name of object.info.needed) load(name, object);
    }
    return { objects, byName, missing };
  };

  const hwcapsNames = isMusl ? [] : hwcapsDirectories(tree, childrenOf);
  return { isMusl, closureOf, hwcapsNames, preloaded: preload.map(lastName) };
}

function lastName(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf("/") + 1) as ByteString;
}

function split(value: string, separator: RegExp): ByteString[] {
  return value
    .split(separator)
    .filter((part) => part !== "")
    .map(fromText);
}

function followLast(tree: Tree, path: TreePath): TreePath | undefined {
  return tree.get(path)?.type === "symlink" ? locate(tree, path as ByteString) : path;
}

function glibcDirectories(tree: Tree, abi: LibraryAbi): ByteString[] {
  const name = multiarchName(abi);
  const multiarch = name !== undefined && tree.has(`/usr/lib/${name}` as TreePath);
  return defaultLibraryDirectories(abi, multiarch);
}

/** `$ORIGIN` is the directory of the object, `$LIB` and `$PLATFORM` are what glibc was built for. */
function expand(path: readonly ByteString[], object: LoadedObject): ByteString[] {
  const { info } = object;
  const lib = multiarchName(info);
  const values: Readonly<Record<string, string>> = {
    ORIGIN: parentPath(object.spelled as TreePath),
    LIB: lib === undefined ? "lib" : `lib/${lib}`,
    PLATFORM: lib?.split("-")[0] ?? "",
  };
  return path.map(
    (directory) =>
      directory.replace(/\$(?:\{(\w+)\}|(ORIGIN|LIB|PLATFORM))/g, (whole, braced, plain) => {
        return values[braced ?? plain] ?? whole;
      }) as ByteString,
  );
}

/** All names of hwcaps directories of the tree; there are seldom any. */
function hwcapsDirectories(
  tree: Tree,
  childrenOf: (directory: TreePath) => readonly ByteString[],
): ByteString[] {
  const names = new Set<ByteString>();
  for (const [path, inode] of tree) {
    if (inode.type !== "dir" || !path.endsWith("/glibc-hwcaps")) continue;
    for (const name of childrenOf(path)) if (!name.startsWith(".")) names.add(name);
  }
  return [...names].sort();
}
