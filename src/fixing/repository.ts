import type { ByteString } from "../core/bytestring.ts";
import { displayText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { findPackages, type IndexedPackage, type PackageQuery } from "../formats/apt/packages.ts";
import type { Release, ReleaseFile } from "../formats/apt/release.ts";
import type { SourceEntry } from "../formats/apt/sources-list.ts";
import { compareVersions } from "../formats/dpkg/version.ts";
import { AptCache } from "./apt-cache.ts";
import { describeSource, fetchIndex, fetchRelease, readSources, type SourceContext } from "./apt-source.ts";
import { download } from "./apt-transport.ts";

/** A version of a package that an archive vouches for. */
export type Candidate = IndexedPackage & {
  /** Which archive, for people: "Debian bookworm-security". */
  readonly origin: string;
};

export type RepositoriesOptions = {
  /** The directory whose etc/apt is read. Default "/". */
  readonly aptRoot?: string;
  readonly cacheDir: string;
  /** VERSION_CODENAME of the image: sources for it, and for "<codename>-security", "-updates" and so on, are used. */
  readonly codename: string;
  /** Debian's name of the image's architecture ("amd64"). */
  readonly architecture: string;
  readonly now: Date;
  readonly signal?: AbortSignal;
};

export type Repositories = {
  /** The archives in use, as `Candidate.origin` names them. Empty: no source of this machine is for this codename. */
  readonly origins: readonly string[];
  /** Sources that were passed over, and why. */
  readonly notes: readonly string[];
  /** All versions of these packages, newest first; no entry for a name that no archive has. Ask for many at once. */
  candidates(packageNames: Iterable<string>): Map<string, Candidate[]>;
  /** All versions of all packages built from a source package, newest first. */
  bySource(sourceName: string): Candidate[];
  /** The path of the verified .deb in the cache. @throws AtomfsError "untrusted", "unsupported", "not-found" */
  fetch(candidate: Candidate): Promise<string>;
};

type Archive = {
  readonly entry: SourceEntry;
  readonly origin: string;
  readonly indexes: readonly ReleaseFile[];
};

/** Debian's largest package has 1.1 GB; none that a fix replaces comes near. */
const MAX_DEB = 1024 * 1024 * 1024;
/** Names under which a distribution's suites are known, besides their codenames. */
const SUITE_ALIAS = /^(old)*(stable|testing)(-|\/|$)/;

/**
 * Opens this machine's apt sources for a release, with the whole chain checked: signature of InRelease, dates, then
 * the hash of each index. Third-party sources that fail are passed over with a note; one that is named for this
 * release stops everything, because a fix that is not found would look like no fix at all.
 * @throws AtomfsError "untrusted", "unsupported" (not reachable), "bad-data"
 */
export async function openRepositories(options: RepositoriesOptions): Promise<Repositories> {
  const context: SourceContext = {
    aptRoot: options.aptRoot ?? "/",
    cache: new AptCache(options.cacheDir),
    now: options.now,
    signal: options.signal,
  };
  const archives: Archive[] = [];
  const notes: string[] = [];
  for (const entry of readSources(context.aptRoot)) {
    if (entry.architectures?.includes(options.architecture as ByteString) === false) continue;
    if (entry.asksForBlindTrust) {
      notes.push(`${describeSource(entry)}: trusted=yes is not honoured, its signature is checked`);
    }
    try {
      const archive = await openArchive(entry, options, context, notes);
      if (archive !== undefined) archives.push(archive);
    } catch (error) {
      if (!(error instanceof AtomfsError) || error.kind === "interrupted") throw error;
      if (mustWork(entry, options.codename, error)) {
        throw new AtomfsError(
          error.kind,
          `Cannot use apt source ${describeSource(entry)}: ${error.message}`,
          {
            cause: error,
            hints: error.hints,
          },
        );
      }
      notes.push(`${describeSource(entry)} was passed over: ${error.message}`);
    }
  }
  archives.sort((a, b) => Number(isSecurity(b)) - Number(isSecurity(a)));
  return makeRepositories(archives, notes, options, context);
}

/** A source named for the release must work; one behind an alias ("stable") may be down, but not forged. */
function mustWork(entry: SourceEntry, codename: string, error: AtomfsError): boolean {
  return isOfRelease(entry.suite, codename) || (error.kind === "untrusted" && SUITE_ALIAS.test(entry.suite));
}

function isOfRelease(name: string | undefined, codename: string): boolean {
  return (
    name === codename ||
    name?.startsWith(`${codename}-`) === true ||
    name?.startsWith(`${codename}/`) === true
  );
}

function isSecurity(archive: Archive): boolean {
  return archive.origin.endsWith("-security");
}

async function openArchive(
  entry: SourceEntry,
  options: RepositoriesOptions,
  context: SourceContext,
  notes: string[],
): Promise<Archive | undefined> {
  const release = await fetchRelease(entry, context, (each) => isOfRelease(each.codename, options.codename));
  if (release === undefined) return undefined;
  if (release.notAutomatic) {
    notes.push(
      `${describeSource(entry)} was passed over: apt would take nothing from it by itself (NotAutomatic)`,
    );
    return undefined;
  }
  const indexes: ReleaseFile[] = [];
  for (const path of indexPaths(entry, release, options.architecture)) {
    const index = await fetchIndex(entry, release, path, context);
    if (index !== undefined) indexes.push(index);
    else notes.push(`${describeSource(entry)} has no ${path}`);
  }
  const origin = release.origin ?? release.label ?? ("unnamed archive" as ByteString);
  return { entry, origin: displayText(`${origin} ${release.codename}` as ByteString), indexes };
}

function indexPaths(entry: SourceEntry, release: Release, architecture: string): ByteString[] {
  if (entry.suite.endsWith("/")) return ["Packages" as ByteString];
  const architectures = release.separateAll ? [architecture, "all"] : [architecture];
  return entry.components.flatMap((component) =>
    architectures.map((each) => `${component}/binary-${each}/Packages` as ByteString),
  );
}

function makeRepositories(
  archives: readonly Archive[],
  notes: readonly string[],
  options: RepositoriesOptions,
  context: SourceContext,
): Repositories {
  const entries = new WeakMap<Candidate, SourceEntry>();

  /** The same file in two archives is one candidate; the security archive's name wins. */
  function find(query: PackageQuery): Candidate[] {
    const found = new Map<string, Candidate>();
    for (const { entry, origin, indexes } of archives) {
      for (const index of indexes) {
        for (const each of findPackages(readIndex(context.cache, index), query)) {
          if (each.architecture !== options.architecture && each.architecture !== "all") continue;
          const key = `${each.package} ${each.architecture} ${each.version} ${each.sha256}`;
          if (found.has(key)) continue;
          const candidate: Candidate = { ...each, origin };
          entries.set(candidate, entry);
          found.set(key, candidate);
        }
      }
    }
    return [...found.values()].sort((a, b) => compareVersions(b.version, a.version));
  }

  /** A candidate that was written down and read again (in a fix plan) is looked up by its hash. */
  function entryOf(candidate: Candidate): SourceEntry {
    const known = entries.get(candidate);
    if (known !== undefined) return known;
    const same = find({ packages: new Set([candidate.package]) }).find(
      (each) => each.sha256 === candidate.sha256 && each.filename === candidate.filename,
    );
    const entry = same === undefined ? undefined : entries.get(same);
    if (entry !== undefined) return entry;
    throw new AtomfsError(
      "not-found",
      `Cannot fetch ${displayText(candidate.package)} ${candidate.version}: no archive has it any more`,
    );
  }

  return {
    origins: [...new Set(archives.map((archive) => archive.origin))],
    notes,
    candidates: (packageNames) =>
      Map.groupBy(find({ packages: new Set(packageNames) }), (each) => each.package),
    bySource: (sourceName) => find({ sources: new Set([sourceName]) }),
    fetch: async (candidate) => {
      if (context.cache.read("debs", candidate) !== undefined) return context.cache.pathOf("debs", candidate);
      if (candidate.size > MAX_DEB) {
        throw new AtomfsError(
          "unsupported",
          `Cannot fetch ${candidate.filename}: larger than ${MAX_DEB} bytes`,
        );
      }
      const { uri } = entryOf(candidate);
      const bytes = await download(uri, candidate.filename, {
        maxBytes: candidate.size,
        signal: context.signal,
      });
      return context.cache.write("debs", candidate, bytes, displayText(candidate.filename));
    },
  };
}

function readIndex(cache: AptCache, index: ReleaseFile): Buffer {
  const bytes = cache.read("indexes", index);
  if (bytes !== undefined) return bytes;
  throw new AtomfsError("stale", "Cannot read package index: it was removed from the cache meanwhile", {
    hints: ["run the command again"],
  });
}
