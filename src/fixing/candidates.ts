import { AtomfsError } from "../core/errors.ts";
import { isNewer } from "../molecules/fix-matching.ts";
import type { PackageRow } from "../store/catalog.ts";
import type { Candidate, Repositories } from "./repository.ts";

/** What a fix is asked for. */
export type WantedPackage = {
  /** A binary package, or else a source package. */
  readonly package: string;
  /** undefined: the newest that the repositories have. */
  readonly version?: string;
};

/** A release of Debian on one architecture. */
export type DebianRelease = {
  /** VERSION_CODENAME of its images. */
  readonly codename: string;
  /** Debian's name of it. */
  readonly architecture: string;
};

type Offer = Pick<Repositories, "candidates" | "bySource" | "origins">;

/**
 * One candidate for every installed binary package of the sources, all of the same source version: binaries of one
 * source are made for each other. Those that no image has in an older version are left out.
 * @param installed every installed package of the sources, in any image that the fix is for
 * @throws AtomfsError "not-found"
 */
export function candidatesForImages(
  wanted: WantedPackage,
  release: DebianRelease,
  installed: readonly PackageRow[],
  repositories: Offer,
): Candidate[] {
  const names = [...new Set(installed.map((row) => row.name))];
  const available = repositories.candidates(names);
  const lead = installed.some((row) => row.name === wanted.package)
    ? wanted.package
    : (installed[0]?.name ?? wanted.package);
  const architectures = new Set(installed.map((row) => row.architecture));
  const offered = (available.get(lead) ?? []).filter((each) => architectures.has(each.architecture));
  const chosen =
    wanted.version === undefined ? offered[0] : offered.find((each) => each.version === wanted.version);
  if (chosen === undefined) throw noCandidate(wanted, release, repositories, versionsOf(offered));
  return names.flatMap((name) => {
    const sibling = (available.get(name) ?? []).find(
      (each) => isSibling(each, chosen) && architectures.has(each.architecture),
    );
    if (sibling === undefined) return [];
    const isOlderSomewhere = installed.some(
      (row) => row.name === name && isNewer(sibling.version, row.version),
    );
    return isOlderSomewhere ? [sibling] : [];
  });
}

/** Debug symbols: large, hardly ever in an image, and some of them only in an archive that few machines use. */
const DEBUG_SYMBOLS = /-dbg(sym)?$/;

/**
 * Every binary package that the repositories have at the wanted version of the source package, ascending by name: the
 * same of the same archives, whatever images there are. Without packages of debug symbols.
 * @throws AtomfsError "not-found"
 */
export function candidatesForRelease(
  wanted: WantedPackage,
  release: DebianRelease,
  repositories: Offer,
): Candidate[] {
  const chosen = chooseLead(wanted, release, repositories);
  const found = new Map<string, Candidate>();
  for (const each of repositories.bySource(chosen.source.name)) {
    if (!isSibling(each, chosen) || DEBUG_SYMBOLS.test(each.package)) continue;
    const key = `${each.package} ${each.architecture}`;
    const newest = found.get(key);
    // Rebuilds of one source version: the newest, or what was asked for.
    const isAskedFor = each.version === wanted.version && newest?.version !== wanted.version;
    if (newest === undefined || isAskedFor) found.set(key, each);
  }
  if (found.size === 0) throw noCandidate(wanted, release, repositories, []);
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, candidate]) => candidate);
}

function isSibling(candidate: Candidate, of: Candidate): boolean {
  return candidate.source.name === of.source.name && candidate.source.version === of.source.version;
}

/** A binary of the source version that is wanted. */
function chooseLead(wanted: WantedPackage, release: DebianRelease, repositories: Offer): Candidate {
  const named = repositories.candidates([wanted.package]).get(wanted.package) ?? [];
  // Versions of the binaries of one source need not be comparable: each may have an epoch of its own.
  const offered = named.length > 0 ? named : bySourceVersion(repositories.bySource(wanted.package));
  const versions = named.length > 0 ? versionsOf(named) : offered.map((each) => each.source.version);
  const chosen =
    wanted.version === undefined
      ? offered[0]
      : offered.find((_, index) => versions[index] === wanted.version);
  if (chosen === undefined) throw noCandidate(wanted, release, repositories, versions);
  return chosen;
}

/** Newest source first. */
function bySourceVersion(candidates: readonly Candidate[]): Candidate[] {
  return [...candidates].sort((a, b) => {
    if (a.source.version === b.source.version) return 0;
    return isNewer(a.source.version, b.source.version) ? -1 : 1;
  });
}

function versionsOf(candidates: readonly Candidate[]): string[] {
  return candidates.map((each) => each.version);
}

function noCandidate(
  wanted: WantedPackage,
  { codename, architecture }: DebianRelease,
  { origins }: Offer,
  versions: readonly string[],
): AtomfsError {
  const none =
    origins.length === 0
      ? `no apt source of this machine is for ${codename}`
      : "do this machine's apt sources have the security suite?";
  const shown = wanted.version === undefined ? wanted.package : `${wanted.package}=${wanted.version}`;
  return new AtomfsError(
    "not-found",
    `The repositories of ${codename} ${architecture} do not have ${shown}`,
    {
      hints: versions.length === 0 ? [none] : [`they have ${[...new Set(versions)].join(", ")}`],
    },
  );
}
