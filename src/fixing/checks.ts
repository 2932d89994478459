import {
  type DpkgDatabase,
  type InstalledDeb,
  infoPath,
  packageKey,
  readTreeFile,
} from "../atoms/dpkg-database.ts";
import { type ByteString, displayText, fromBytes, type TreePath, treePath } from "../core/bytestring.ts";
import { childrenByDirectory, type ReadObject, type Tree } from "../core/tree.ts";
import type { Atom, DebIdentity } from "../formats/atom/atom.ts";
import { dependencyProblems, indexInstalled, installedPackages } from "../formats/dpkg/installed.ts";
import type { PackageRecord } from "../formats/dpkg/status.ts";
import type { Composition } from "../molecules/compose.ts";
import { controlMember, type InstallOutcome } from "../molecules/install-deb.ts";
import { checkAbi } from "./abi.ts";
import type { ElfIndex } from "./elf-index.ts";
import { scriptProblems } from "./scripts.ts";
import { triggerProblems } from "./triggers.ts";

/** Why a fix must not be applied to an image (verdict "block"), or what its operator should know ("warn"). */
export type CheckResult = {
  readonly check:
    | "hold"
    | "database"
    | "conflict"
    | "shadowed"
    | "dependency"
    | "script"
    | "abi"
    | "conffile"
    | "left-out";
  readonly verdict: "block" | "warn";
  readonly reason: string;
};

export type CheckInput = {
  readonly composition: Composition;
  readonly database: DpkgDatabase;
  readonly replacements: readonly Atom[];
  readonly architecture: string;
  /** The image config's Env. */
  readonly env: readonly string[];
  readonly elves: ElfIndex;
  readonly readObject: ReadObject;
};

/** All checks of a composed, fixed molecule against the image it comes from. */
export function runChecks(input: CheckInput): CheckResult[] {
  const changed = changedPaths(input.composition.image, input.composition.tree);
  return [
    ...input.replacements.flatMap((deb) => holdResults(input.database, deb)),
    ...[...input.composition.outcomes].flatMap(([key, outcome]) => installResults(key, outcome)),
    ...dependencyResults(input.database, input.composition.records, input.architecture),
    ...input.replacements.flatMap((deb) => scriptResults(input, deb, changed)),
    ...abiResults(input),
  ];
}

/** Paths of files, symlinks and directories that differ between two trees in anything but time. */
export function changedPaths(before: Tree, after: Tree): TreePath[] {
  const changed: TreePath[] = [];
  for (const [path, inode] of before) if (after.get(path) !== inode) changed.push(path);
  for (const path of after.keys()) if (!before.has(path)) changed.push(path);
  return changed;
}

/** `apt-mark hold` or dpkg's own: whoever built the image wants this version. */
function holdResults(database: DpkgDatabase, deb: Atom): CheckResult[] {
  const key = packageKey((deb.origin as { readonly package: DebIdentity }).package);
  if (database.installed.get(key)?.record.status.want !== "hold") return [];
  return [{ check: "hold", verdict: "block", reason: `${key} is on hold in the image` }];
}

/** Files that no program runs or links: if the image changed one of those, the fix still works. */
const DOCUMENTATION = /^\/usr\/share\/(doc|man|info|locale|lintian|bug)\//;

export function isDocumentation(path: string): boolean {
  return DOCUMENTATION.test(path);
}

function installResults(key: string, outcome: InstallOutcome): CheckResult[] {
  const shown = displayText;
  return [
    ...outcome.conflicts.map(({ path, owner }) => ({
      check: "conflict" as const,
      verdict: "block" as const,
      reason: `${key} has ${shown(path)}, which belongs to ${owner}`,
    })),
    ...outcome.shadowed.map((path) => ({
      check: "shadowed" as const,
      verdict: isDocumentation(path) ? ("warn" as const) : ("block" as const),
      reason: `a layer of the image changed ${shown(path)} of ${key}: the fix would not reach it`,
    })),
    ...outcome.keptConffiles.map((path) => ({
      check: "conffile" as const,
      verdict: "warn" as const,
      reason: `${shown(path)} was edited or removed in the image and stays so; the new one is ${shown(path)}.dpkg-dist`,
    })),
    ...leftOutResults(key, outcome.leftOut),
  ];
}

function leftOutResults(key: string, leftOut: readonly TreePath[]): CheckResult[] {
  if (leftOut.length === 0) return [];
  const example = displayText(leftOut[0] as TreePath);
  const reason = `the image lacks ${leftOut.length} of the files of ${key} (${example}); they are not brought back`;
  return [{ check: "left-out", verdict: "warn", reason }];
}

function dependencyResults(
  database: DpkgDatabase,
  after: readonly PackageRecord[],
  architecture: string,
): CheckResult[] {
  const index = (records: readonly PackageRecord[]): ReturnType<typeof indexInstalled> =>
    indexInstalled(installedPackages(records), architecture);
  return dependencyProblems(index(database.records), index(after)).map((reason) => ({
    check: "dependency",
    verdict: "block",
    reason,
  }));
}

function scriptResults(input: CheckInput, deb: Atom, changed: readonly TreePath[]): CheckResult[] {
  const { database, readObject } = input;
  const before = input.composition.image;
  const identity = (deb.origin as { readonly package: DebIdentity }).package;
  const old = database.installed.get(packageKey(identity));
  if (old === undefined) return [];
  const fromDeb = (member: string): Uint8Array | undefined => controlMember(deb, member, readObject);
  const fromImage = (member: string): Uint8Array | undefined =>
    readTreeFile(before, infoPath(old.infoBase, member), readObject);
  const scripts = (
    [
      ["new preinst", fromDeb("preinst")],
      ["old prerm", fromImage("prerm")],
      ["new postinst", fromDeb("postinst")],
      ["old postrm", fromImage("postrm")],
    ] as const
  ).flatMap(([phase, text]) => (text === undefined ? [] : [{ phase, name: phase, text }]));
  const problems = scriptProblems({
    packageName: identity.name,
    scripts,
    oldVersion: old.record.version,
    newVersion: identity.version as ByteString,
    before,
    after: input.composition.tree,
  });
  const triggers = triggerProblems({
    packageName: identity.name,
    newTriggers: fromDeb("triggers"),
    oldTriggers: fromImage("triggers"),
    changedPaths: pathsOf(old, deb, changed),
    fileTriggers: database.fileTriggers,
    namedTriggers: namedTriggers(before, readObject),
  });
  const scriptReasons = problems.map(
    (each) => `${identity.name}'s ${each.script} line ${each.line}: ${each.command}: ${each.reason}`,
  );
  return [...scriptReasons, ...triggers].map((reason) => ({ check: "script", verdict: "block", reason }));
}

function pathsOf(old: InstalledDeb, deb: Atom, changed: readonly TreePath[]): TreePath[] {
  const own = new Set<TreePath>([...old.paths, ...deb.entries.map((entry) => entry.path)]);
  return changed.filter((path) => own.has(path));
}

const TRIGGER_DIRECTORY: TreePath = treePath("/var/lib/dpkg/triggers");
const NOT_TRIGGER_NAMES = new Set(["File", "Unincorp", "Lock"]);

/** /var/lib/dpkg/triggers/NAME: which packages wait for a named trigger. */
function namedTriggers(tree: Tree, readObject: ReadObject): Map<string, string[]> {
  const named = new Map<string, string[]>();
  for (const name of childrenByDirectory(tree).get(TRIGGER_DIRECTORY) ?? []) {
    if (NOT_TRIGGER_NAMES.has(name)) continue;
    const bytes = readTreeFile(tree, `${TRIGGER_DIRECTORY}/${name}` as TreePath, readObject);
    const lines = bytes === undefined ? [] : fromBytes(bytes).split("\n");
    named.set(
      name,
      lines.map((line) => line.replace(/\/.*$/, "").trim()).filter((line) => line !== ""),
    );
  }
  return named;
}

function abiResults(input: CheckInput): CheckResult[] {
  const problems = checkAbi(input.composition.image, input.composition.tree, {
    readObject: input.readObject,
    elfOf: input.elves.elfOf,
    env: input.env,
  });
  input.elves.save();
  return problems.map((problem) => ({
    check: "abi",
    verdict: "block",
    reason: `${displayText(problem.path)}: ${problem.detail}`,
  }));
}
