import { displayText, type TreePath } from "../core/bytestring.ts";
import { type FileTrigger, parseTriggers, type TriggerLine } from "../formats/dpkg/lists.ts";

export type TriggerInput = {
  readonly packageName: string;
  /** The `triggers` control files of the two versions of the package; undefined if it has none. */
  readonly newTriggers: Uint8Array | undefined;
  readonly oldTriggers: Uint8Array | undefined;
  /** Files that the swap adds, removes or replaces. */
  readonly changedPaths: Iterable<TreePath>;
  /** All of /var/lib/dpkg/triggers/File. */
  readonly fileTriggers: readonly FileTrigger[];
  /** Each file of /var/lib/dpkg/triggers that is a named trigger: the packages interested, with or without ":arch". */
  readonly namedTriggers: ReadonlyMap<string, readonly string[]>;
};

/** Directories that are links into /usr on all but the oldest systems, so that a path may be written in two ways. */
const MERGED = /^\/usr(?=\/(bin|sbin|lib|lib32|lib64|libx32|libo32)(\/|$))/;

/**
 * Which packages would have their postinst called by this upgrade, "triggered" (deb-triggers(5)), and what AtomFS does
 * not do in their place: one reason each. The library cache is AtomFS's own work, the index of manual pages only a cache.
 * @throws AtomfsError "bad-data"
 */
export function triggerProblems(input: TriggerInput): string[] {
  const newLines = input.newTriggers === undefined ? [] : parseTriggers(input.newTriggers);
  const oldLines = input.oldTriggers === undefined ? [] : parseTriggers(input.oldTriggers);
  return [
    ...interestProblems(input.packageName, oldLines, newLines),
    ...activationProblems(input, [...oldLines, ...newLines]),
    ...pathProblems(input),
  ];
}

function interestProblems(
  packageName: string,
  oldLines: readonly TriggerLine[],
  newLines: readonly TriggerLine[],
): string[] {
  const before = interests(oldLines);
  const after = interests(newLines);
  const changed = [...before.symmetricDifference(after)].sort();
  return changed.map(
    (interest) =>
      `${packageName} ${after.has(interest) ? "begins" : "ceases"} to wait for trigger ${interest}, which changes dpkg's database`,
  );
}

function interests(lines: readonly TriggerLine[]): Set<string> {
  return new Set(
    lines
      .filter((line) => line.kind === "interest")
      .map((line) => `${displayText(line.trigger)}${line.isAwaited ? "" : " (noawait)"}`),
  );
}

/** dpkg activates what the old version names as well as what the new one does. */
function activationProblems(input: TriggerInput, lines: readonly TriggerLine[]): string[] {
  const activated = new Set(lines.filter((line) => line.kind === "activate").map((line) => line.trigger));
  return [...activated].flatMap((trigger) =>
    interestedIn(input, trigger)
      .filter((name) => isProblem(name, trigger, input.packageName))
      .map((name) => `${input.packageName} activates trigger ${displayText(trigger)} of ${name}: ${WHY}`),
  );
}

const WHY = "its postinst would run and may change files that AtomFS can't predict";

function interestedIn(input: TriggerInput, trigger: TriggerLine["trigger"]): string[] {
  if (!trigger.startsWith("/")) return [...(input.namedTriggers.get(trigger) ?? [])];
  return input.fileTriggers
    .filter((interest) => isAtOrBelow(mergedForm(trigger), mergedForm(interest.path)))
    .map((interest) => interest.package);
}

function pathProblems(input: TriggerInput): string[] {
  const waiting = input.fileTriggers.filter((each) => isProblem(each.package, each.path, input.packageName));
  if (waiting.length === 0) return [];
  const byInterest = Map.groupBy(waiting, (each) => mergedForm(each.path));
  const problems: string[] = [];
  for (const path of input.changedPaths) {
    for (const parent of selfAndParents(mergedForm(path))) {
      for (const { package: name, path: interest } of byInterest.get(parent) ?? []) {
        problems.push(
          `${input.packageName} changes ${displayText(path)}, and ${displayText(name)} waits for changes of ${displayText(interest)}: ${WHY}`,
        );
      }
      // One example for each is enough.
      byInterest.delete(parent);
    }
  }
  return problems;
}

/** Whether a package's trigger means more than AtomFS does itself; a package is never triggered by its own upgrade. */
function isProblem(name: string, trigger: string, packageName: string): boolean {
  const waiting = withoutArchitecture(name);
  if (waiting === withoutArchitecture(packageName) || waiting === "man-db") return false;
  return !(waiting === "libc-bin" && trigger === "ldconfig");
}

function withoutArchitecture(name: string): string {
  return name.replace(/:.*$/s, "");
}

function mergedForm(path: string): string {
  return path.replace(/(?<=.)\/+$/, "").replace(MERGED, "");
}

function isAtOrBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function* selfAndParents(path: string): Generator<string> {
  for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) yield at;
}
