import type { ByteString } from "../../core/bytestring.ts";
import {
  type DependencyClause,
  formatClause,
  type PackageRelation,
  parseDependencies,
  versionSatisfies,
} from "./dependency.ts";
import type { PackageFacts, PackageRecord } from "./status.ts";

/** A package as far as dependencies see it; `isConfigured` false: unpacked only, which satisfies nobody. */
export type InstalledPackage = PackageFacts & { readonly isConfigured: boolean };

type Provider = { readonly package: InstalledPackage; readonly version: ByteString | undefined };

/** Installed packages by the names they answer to, real and provided. */
export type InstalledSet = {
  readonly nativeArchitecture: string;
  readonly packages: readonly InstalledPackage[];
  readonly providers: ReadonlyMap<string, readonly Provider[]>;
};

/** The records whose files are there, as `indexInstalled` takes them. */
export function installedPackages(records: readonly PackageRecord[]): InstalledPackage[] {
  const installed: InstalledPackage[] = [];
  for (const record of records) {
    const { state } = record.status;
    if (state === "not-installed" || state === "config-files") continue;
    const isConfigured = state === "installed" || state.startsWith("triggers-");
    installed.push({ ...record, isConfigured });
  }
  return installed;
}

/** @throws AtomfsError "bad-data" for a `Provides:` that cannot be parsed */
export function indexInstalled(
  packages: readonly InstalledPackage[],
  nativeArchitecture: string,
): InstalledSet {
  const providers = new Map<string, Provider[]>();
  const add = (name: string, provider: Provider): void => {
    const known = providers.get(name);
    if (known === undefined) providers.set(name, [provider]);
    else known.push(provider);
  };
  for (const each of packages) {
    add(each.package, { package: each, version: each.version });
    for (const relation of parseDependencies(each.provides ?? ("" as ByteString)).flat()) {
      add(relation.package, { package: each, version: relation.version?.version });
    }
  }
  return { nativeArchitecture, packages, providers };
}

/** The clauses of a Depends or Pre-Depends that no installed package satisfies. @throws AtomfsError "bad-data" */
export function unsatisfied(
  field: ByteString | undefined,
  installed: InstalledSet,
  dependerArchitecture: string = installed.nativeArchitecture,
): DependencyClause[] {
  return parseDependencies(field ?? ("" as ByteString)).filter(
    (clause) => !clause.some((relation) => isSatisfied(relation, installed, dependerArchitecture)),
  );
}

/**
 * What does not fit together in `after` and did in `before`: dependencies that nobody satisfies any more, and
 * packages that break or conflict with each other. Problems that were there before are not this change's.
 * @throws AtomfsError "bad-data"
 */
export function dependencyProblems(before: InstalledSet, after: InstalledSet): string[] {
  const known = new Set(problemsIn(before).keys());
  const fresh: string[] = [];
  for (const [key, message] of problemsIn(after)) if (!known.has(key)) fresh.push(message);
  return fresh;
}

/** Messages by a key without the depending package's version, so that an update with the same problem is no news. */
function problemsIn(installed: InstalledSet): Map<string, string> {
  const problems = new Map<string, string>();
  const report = (from: InstalledPackage, verb: string, what: string): void => {
    problems.set(
      `${from.package}:${from.architecture} ${verb} ${what}`,
      `${from.package} ${from.version} ${verb} ${what}`,
    );
  };
  for (const each of installed.packages) {
    if (!each.isConfigured) continue;
    for (const field of [each.preDepends, each.depends]) {
      for (const clause of unsatisfied(field, installed, each.architecture)) {
        report(each, "depends on", `${formatClause(clause)}, which nothing satisfies`);
      }
    }
    for (const [verb, field] of [
      ["breaks", each.breaks],
      ["conflicts with", each.conflicts],
    ] as const) {
      for (const relation of parseDependencies(field ?? ("" as ByteString)).flat()) {
        for (const hit of conflicting(relation, each, installed)) {
          report(each, verb, `${formatClause([relation])}: ${hit.package} ${hit.version} is installed`);
        }
      }
    }
  }
  return problems;
}

function isSatisfied(relation: PackageRelation, installed: InstalledSet, depender: string): boolean {
  return (installed.providers.get(relation.package) ?? []).some(
    (provider) =>
      provider.package.isConfigured &&
      matchesVersion(provider, relation) &&
      matchesArchitecture(provider.package, relation, installed.nativeArchitecture, depender),
  );
}

/** A provided name without a version satisfies no versioned relation. */
function matchesVersion(provider: Provider, relation: PackageRelation): boolean {
  if (relation.version === undefined) return true;
  return provider.version !== undefined && versionSatisfies(provider.version, relation.version);
}

/** Multi-Arch rules: same architecture ("all" counts as native), or foreign, or allowed and asked for with ":any". */
function matchesArchitecture(
  provider: InstalledPackage,
  relation: PackageRelation,
  native: string,
  depender: string,
): boolean {
  const own = provider.architecture === "all" ? native : provider.architecture;
  if (relation.architecture === "any") {
    return (
      provider.multiArch === "allowed" || provider.multiArch === "foreign" || sameAs(own, depender, native)
    );
  }
  if (relation.architecture !== undefined) return own === relation.architecture;
  return provider.multiArch === "foreign" || sameAs(own, depender, native);
}

function sameAs(own: string, depender: string, native: string): boolean {
  return own === (depender === "all" ? native : depender);
}

/** Breaks and Conflicts without a qualifier mean every architecture; a package never conflicts with its own name. */
function conflicting(
  relation: PackageRelation,
  from: InstalledPackage,
  installed: InstalledSet,
): InstalledPackage[] {
  return (installed.providers.get(relation.package) ?? [])
    .filter(
      (provider) =>
        provider.package.package !== from.package &&
        matchesVersion(provider, relation) &&
        (relation.architecture === undefined ||
          relation.architecture === "any" ||
          relation.architecture === provider.package.architecture),
    )
    .map((provider) => provider.package);
}
