import { type ByteString, baseName, displayText, type TreePath } from "../core/bytestring.ts";
import type { ReadObject, Tree } from "../core/tree.ts";
import type { ElfOf } from "../molecules/ldconfig.ts";
import { examine, type Finding, type Side, standing } from "./abifindings.ts";
import { affectedElves, changedElves, type ElfChanges, elvesOf } from "./affected.ts";
import { makeLoader } from "./loader.ts";
import { DefinitionIndex, symbolText } from "./symbols.ts";

export type AbiProblem = {
  readonly kind:
    | "missing-library"
    | "missing-version"
    | "missing-symbol"
    /** The library is there, but under another soname than its users ask for. */
    | "soname-lost"
    /** A program holds a copy of a data object that has another size now. */
    | "object-size";
  /** The program or library that would not work. */
  readonly path: TreePath;
  /** The library that is missing or misses something, as text for people; "" if none is known to have had it. */
  readonly library: string;
  readonly detail: string;
};

export type AbiContext = {
  readonly readObject: ReadObject;
  /** undefined for what is no (well-formed) ELF file; answers from memory when asked again. */
  readonly elfOf: ElfOf;
  /** `Env` of the image's config: LD_LIBRARY_PATH and LD_PRELOAD count. */
  readonly env: readonly string[];
};

/**
 * Compares how the dynamic linker gets on in two trees, and tells what works in `before` but not in `after`: libraries,
 * version nodes, symbols and copied objects of every ELF file that can meet a changed one. What was broken before is
 * not told. Struct layouts, semantics and libraries opened by name at run time are beyond it.
 */
export function checkAbi(before: Tree, after: Tree, context: AbiContext): AbiProblem[] {
  const changes = changedElves(before, after, context.elfOf);
  if (changes.paths.size === 0 && !changes.everything) return [];
  const was = openSide(before, context);
  const is = openSide(after, context);
  const problems = new Map<string, AbiProblem>();
  for (const hwcaps of ["" as ByteString, ...is.loader.hwcapsNames]) {
    const old = affectedElves(before, was.elves, changes, was.loader.preloaded).flatMap((path) =>
      examine(was, path, hwcaps),
    );
    const now = affectedElves(after, is.elves, changes, is.loader.preloaded).flatMap((path) =>
      examine(is, path, hwcaps),
    );
    const fresh = [...newFindings(was, is, old, now, hwcaps), ...lostByHosts(was, is, changes, hwcaps)];
    for (const finding of fresh) {
      const problem = describe(was, finding, changes, hwcaps);
      const key = `${problem.kind} ${problem.path} ${problem.detail}`;
      if (!problems.has(key)) problems.set(key, problem);
    }
  }
  return [...problems.values()];
}

function openSide(tree: Tree, context: AbiContext): Side {
  const loader = makeLoader(tree, context.readObject, context.elfOf, context.env);
  return {
    elves: elvesOf(tree, context.elfOf),
    loader,
    index: new DefinitionIndex(loader.isMusl),
    standings: new Map(),
  };
}

/** A finding is old if the same file had it, or, where the file's name is new, one of the same soname. */
function newFindings(
  was: Side,
  is: Side,
  old: readonly Finding[],
  now: readonly Finding[],
  hwcaps: ByteString,
): Finding[] {
  const oldKeys = new Set<string>();
  for (const finding of old) {
    oldKeys.add(`${finding.path} ${finding.what}`);
    oldKeys.add(`soname ${finding.soname} ${finding.what}`);
  }
  const isNew = (finding: Finding): boolean =>
    !oldKeys.has(`${finding.path} ${finding.what}`) &&
    (finding.soname === "" ||
      was.elves.has(finding.path) ||
      !oldKeys.has(`soname ${finding.soname} ${finding.what}`));
  const fresh = now.filter(isNew);
  const reported = new Set(fresh.map((finding) => `${finding.path} ${finding.what}`));
  const incomplete = new Set(
    fresh.filter((finding) => finding.kind === "missing-library").map((f) => f.path),
  );
  return fresh.filter((finding) => {
    if (finding.kind !== "missing-symbol") return true;
    // Without a library its symbols are missing too; that the library is missing says enough.
    if (finding.scope.some((object) => incomplete.has(object.path))) return false;
    // What a library misses by itself is its own finding, not one of each program that loads it.
    if (finding.by !== finding.path && reported.has(`${finding.by} ${finding.what}`)) return false;
    return !isLeftToHost(was, is, finding, hwcaps);
  });
}

/**
 * Plugins take symbols from the program that loads them, which nothing in their file names. A library that did so
 * before, or is new, may do so with a further symbol, as long as some file of the tree has it.
 */
function isLeftToHost(was: Side, is: Side, finding: Finding, hwcaps: ByteString): boolean {
  const info = is.elves.get(finding.path);
  if (info === undefined || info.interpreter !== "" || finding.by !== finding.path) return false;
  const wasInfo = was.elves.get(finding.path);
  if (wasInfo !== undefined && standing(was, finding.path, wasInfo, hwcaps).unresolved.length === 0)
    return false;
  for (const other of is.elves.values()) {
    if (is.index.find(other, finding.name, finding.version) !== undefined) return true;
  }
  return false;
}

/** Plugins whose host program, or a library that it loads, has lost a symbol that nothing else in the tree has. */
function lostByHosts(was: Side, is: Side, changes: ElfChanges, hwcaps: ByteString): Finding[] {
  const lost = new Set<string>();
  for (const info of changes.before)
    for (const [name, version] of info.defines) lost.add(symbolText(name, version));
  for (const info of changes.after)
    for (const [name, version] of info.defines) lost.delete(symbolText(name, version));
  if (lost.size === 0) return [];
  const findings: Finding[] = [];
  for (const [path, info] of is.elves) {
    const oldInfo = was.elves.get(path);
    if (oldInfo === undefined || !info.requires.some((r) => lost.has(symbolText(r[0], r[1])))) continue;
    const wasUnresolved = new Set(
      standing(was, path, oldInfo, hwcaps).unresolved.map(([name, version]) => symbolText(name, version)),
    );
    const now = standing(is, path, info, hwcaps);
    for (const [name, version] of now.unresolved) {
      const text = symbolText(name, version);
      if (!lost.has(text) || !wasUnresolved.has(text)) continue;
      const has = (side: Side): boolean =>
        [...side.elves.values()].some((other) => side.index.find(other, name, version) !== undefined);
      if (has(is) || !has(was)) continue;
      findings.push({
        kind: "missing-symbol",
        path,
        soname: info.soname,
        by: path,
        what: `symbol ${text}`,
        name,
        version,
        library: "" as ByteString,
        scope: now.closure.objects,
      });
    }
  }
  return findings;
}

function describe(was: Side, finding: Finding, changes: ElfChanges, hwcaps: ByteString): AbiProblem {
  const { path } = finding;
  const library = displayText(finding.library);
  const symbol = displayText(symbolText(finding.name, finding.version));
  switch (finding.kind) {
    case "missing-library": {
      const other = changes.after.find((info) => sameStem(info.soname, finding.library))?.soname;
      if (other === undefined || other === finding.library)
        return {
          kind: "missing-library",
          path,
          library,
          detail: `needs ${library}, which is nowhere it is searched for`,
        };
      const detail = `needs ${library}, but the library is ${displayText(other)} now`;
      return { kind: "soname-lost", path, library, detail };
    }
    case "soname-lost": {
      const detail = `needs ${library}, but the file of that name calls itself ${displayText(finding.name)} now`;
      return { kind: "soname-lost", path, library, detail };
    }
    case "missing-version": {
      const detail = `needs version ${displayText(finding.version)} of ${library}, which does not have it`;
      return { kind: "missing-version", path, library, detail };
    }
    case "object-size":
      return {
        kind: "object-size",
        path,
        library,
        detail: `holds a copy of ${symbol}, which has another size in ${library} now`,
      };
    case "missing-symbol": {
      const owner = library === "" ? ownerBefore(was, finding, hwcaps) : library;
      const by = finding.by === path ? "" : ` (for ${displayText(finding.by)})`;
      const where =
        owner === "" ? "no library that it loads" : `neither ${owner} nor another library that it loads`;
      return {
        kind: "missing-symbol",
        path,
        library: owner,
        detail: `needs ${symbol}${by}, which ${where} has`,
      };
    }
  }
}

function sameStem(a: ByteString, b: ByteString): boolean {
  const stem = (name: string): string => name.replace(/[-.\d]*\.so(\.[^/]*)?$/, "");
  return a !== "" && b.includes(".so") && stem(a) === stem(b);
}

/** Name of the library that the symbol came from before. */
function ownerBefore(was: Side, finding: Finding, hwcaps: ByteString): string {
  const info = was.elves.get(finding.path);
  if (info === undefined) return "";
  const objects = standing(was, finding.path, info, hwcaps).closure.objects.filter(
    (o) => o.path !== finding.by,
  );
  const owner = was.index.findIn(objects, finding.name, finding.version)?.object;
  return owner === undefined
    ? ""
    : displayText(owner.info.soname === "" ? baseName(owner.path) : owner.info.soname);
}
