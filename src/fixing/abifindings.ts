import { type ByteString, baseName, type TreePath } from "../core/bytestring.ts";
import type { ElfInfo } from "../formats/elf/elf.ts";
import type { ElfReference } from "../formats/elf/symbols.ts";
import type { Closure, LoadedObject, Loader } from "./loader.ts";
import { type DefinitionIndex, symbolText } from "./symbols.ts";

/** One tree, ready to be asked; what is worked out is kept. */
export type Side = {
  readonly elves: ReadonlyMap<TreePath, ElfInfo>;
  readonly loader: Loader;
  readonly index: DefinitionIndex;
  readonly standings: Map<string, Standing>;
};

/** How a file gets on when it is what is loaded first. */
export type Standing = { readonly closure: Closure; readonly unresolved: readonly ElfReference[] };

/** Something wrong with one file of one tree. */
export type Finding = {
  readonly kind: "missing-library" | "missing-version" | "missing-symbol" | "soname-lost" | "object-size";
  /** The file that was loaded first. */
  readonly path: TreePath;
  readonly soname: ByteString;
  /** The object that needs what is missing: `path` itself or a library that it loads. */
  readonly by: TreePath;
  /** What is wrong, without the file: equal in two trees if it is the same trouble. */
  readonly what: string;
  readonly name: ByteString;
  readonly version: ByteString;
  readonly library: ByteString;
  /** All that was loaded. */
  readonly scope: readonly LoadedObject[];
};

const NONE = "" as ByteString;

export function standing(side: Side, path: TreePath, info: ElfInfo, hwcaps: ByteString): Standing {
  const key = `${hwcaps} ${path}`;
  let result = side.standings.get(key);
  if (result === undefined) {
    const closure = side.loader.closureOf(path, info, hwcaps);
    result = { closure, unresolved: side.index.unresolved(info, closure.objects) };
    side.standings.set(key, result);
  }
  return result;
}

/** All that is wrong with a file when it is loaded first, in this tree by itself. */
export function examine(side: Side, path: TreePath, hwcaps: ByteString): Finding[] {
  const info = side.elves.get(path);
  if (info === undefined) return [];
  const own = standing(side, path, info, hwcaps);
  const scope = own.closure.objects;
  const findings: Finding[] = [];
  const add = (finding: Partial<Finding> & Pick<Finding, "kind" | "what" | "by">): void => {
    findings.push({ path, soname: info.soname, name: NONE, version: NONE, library: NONE, scope, ...finding });
  };
  for (const object of scope) {
    const by = object.path;
    const isSelf = by === path;
    const alone = isSelf ? own : standing(side, by, object.info, hwcaps);
    const inside = isSelf || isWithin(alone.closure, own.closure);
    for (const { neededBy, name } of own.closure.missing) {
      if (neededBy !== object || (!isSelf && alone.closure.missing.some((missing) => missing.name === name)))
        continue;
      add({ kind: "missing-library", by, what: `library ${name}`, library: name });
    }
    if (!isSelf && inside && alone.unresolved.length === 0) continue;
    const missingVersions = side.loader.isMusl ? [] : versionsMissing(side, object.info, own.closure);
    // A library that finds the same files as when it is alone has its findings to itself.
    if (isSelf || !inside) {
      for (const [file, version] of missingVersions) {
        add({ kind: "missing-version", by, what: `version ${file} ${version}`, library: file, version });
      }
    }
    const unresolved = inside ? alone.unresolved : side.index.unresolved(object.info, scope);
    for (const [name, version, file] of unresolved) {
      if (missingVersions.some((missing) => missing[0] === file && missing[1] === version)) continue;
      if (!isSelf && side.index.findIn(scope, name, version) !== undefined) continue;
      const what = `symbol ${symbolText(name, version)}`;
      add({ kind: "missing-symbol", by, what, name, version, library: file });
    }
  }
  for (const name of info.needed) {
    const soname = own.closure.byName.get(name)?.info.soname ?? NONE;
    if (soname === NONE || soname === baseName(name as TreePath)) continue;
    add({ kind: "soname-lost", by: path, what: `soname ${name}`, library: name, name: soname });
  }
  for (const [name, version, size] of info.copies) {
    const source = side.index.findIn(scope.slice(1), name, version);
    const what = `symbol ${symbolText(name, version)}`;
    if (source === undefined) add({ kind: "missing-symbol", by: path, what, name, version });
    else if (source.definition[3] !== size) {
      const library = source.object.info.soname;
      add({ kind: "object-size", by: path, what: `size of ${what}`, name, version, library });
    }
  }
  return findings;
}

/** True if all that the inner one loads is loaded by the outer one too, so that nothing can get lost there. */
function isWithin(inner: Closure, outer: Closure): boolean {
  const paths = new Set(outer.objects.map((object) => object.path));
  return inner.objects.every((object) => paths.has(object.path));
}

/**
 * Version nodes that a file of the closure must have and has not. A file without any definitions of versions only
 * earns a warning, unless it is wholly without versions: then glibc stops with a failed assertion as soon as a
 * symbol is found in it (dl-lookup.c, check_match).
 */
function versionsMissing(
  side: Side,
  info: ElfInfo,
  closure: Closure,
): (readonly [file: ByteString, version: ByteString])[] {
  return info.neededVersions.filter(([file, version]) => {
    const provider = closure.byName.get(file)?.info;
    if (provider === undefined || provider.definedVersions.includes(version)) return false;
    if (provider.versioned) return provider.definedVersions.length > 0;
    return info.requires.some(
      (reference) =>
        reference[1] === version &&
        reference[2] === file &&
        side.index.find(provider, reference[0], version) !== undefined,
    );
  });
}
