import { type ByteString, displayText } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { compareVersions, formatVersion, parseVersion } from "./version.ts";

export type Relation = "<<" | "<=" | "=" | ">=" | ">>";

/** One package that a dependency names: `name[:architecture] [(relation version)]`. */
export type PackageRelation = {
  readonly package: ByteString;
  /** "any" or an architecture; undefined: no qualifier. */
  readonly architecture: ByteString | undefined;
  readonly version: { readonly relation: Relation; readonly version: ByteString } | undefined;
};

/** Alternatives in the order of preference ("a | b"). Never empty. */
export type DependencyClause = readonly PackageRelation[];

const MAX_RELATIONS = 100_000;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9+._-]*$/;
const ARCHITECTURE = /^[a-z0-9][a-z0-9-]*$/;
/** "<" and ">" are old spellings of "<=" and ">=". */
const RELATIONS: ReadonlyMap<string, Relation> = new Map([
  ["<<", "<<"],
  ["<=", "<="],
  ["<", "<="],
  ["=", "="],
  ["", "="],
  [">=", ">="],
  [">", ">="],
  [">>", ">>"],
]);

/**
 * Parses Depends, Breaks, Provides and the like. Architecture restrictions `[amd64]` and build profiles `<x>` have no
 * meaning in binary packages and are passed over.
 * @throws AtomfsError "bad-data"
 */
export function parseDependencies(field: ByteString): DependencyClause[] {
  const clauses: DependencyClause[] = [];
  let count = 0;
  for (const clause of field.split(",")) {
    if (clause.trim() === "") continue;
    const alternatives = clause.split("|");
    count += alternatives.length;
    if (count > MAX_RELATIONS) throw new AtomfsError("bad-data", "Cannot parse dependency field: too long");
    clauses.push(alternatives.map(parseRelation));
  }
  return clauses;
}

/** As dpkg writes it into its database: names in lower case, one space, versions without a needless epoch. */
export function formatDependencies(clauses: readonly DependencyClause[]): ByteString {
  return clauses.map(formatClause).join(", ") as ByteString;
}

export function formatClause(clause: DependencyClause): ByteString {
  return clause.map(formatRelation).join(" | ") as ByteString;
}

export function versionSatisfies(version: string, wanted: PackageRelation["version"]): boolean {
  if (wanted === undefined) return true;
  const order = compareVersions(version, wanted.version);
  switch (wanted.relation) {
    case "<<":
      return order < 0;
    case "<=":
      return order <= 0;
    case "=":
      return order === 0;
    case ">=":
      return order >= 0;
    case ">>":
      return order > 0;
  }
}

function parseRelation(text: string): PackageRelation {
  const bad = (why: string): AtomfsError =>
    new AtomfsError(
      "bad-data",
      `Cannot parse dependency "${displayText(text.trim().slice(0, 80) as ByteString)}": ${why}`,
    );
  const match = /^\s*([^\s:([<]+)(?::([^\s([<]+))?\s*(?:\(([^)]*)\))?\s*([[<].*)?$/s.exec(text);
  if (match === null) throw bad("want name[:architecture] [(relation version)]");
  const [, name = "", architecture, constraint] = match;
  if (!NAME.test(name)) throw bad("invalid package name");
  if (architecture !== undefined && !ARCHITECTURE.test(architecture)) throw bad("invalid architecture");
  let version: PackageRelation["version"];
  if (constraint !== undefined) {
    const parts = /^\s*([<>=]*)\s*([^\s<>=]+)\s*$/.exec(constraint);
    const relation = RELATIONS.get(parts?.[1] ?? "");
    if (parts?.[2] === undefined || relation === undefined) throw bad("invalid version constraint");
    version = { relation, version: formatVersion(parseVersion(parts[2])) };
  }
  return {
    package: name.toLowerCase() as ByteString,
    architecture: architecture as ByteString | undefined,
    version,
  };
}

function formatRelation(relation: PackageRelation): string {
  const architecture = relation.architecture === undefined ? "" : `:${relation.architecture}`;
  const version =
    relation.version === undefined ? "" : ` (${relation.version.relation} ${relation.version.version})`;
  return `${relation.package}${architecture}${version}`;
}
