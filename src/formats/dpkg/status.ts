import { type ByteString, displayText } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import {
  encodeParagraph,
  fieldValue,
  type Paragraph,
  parseDeb822,
  requiredField,
  valueLines,
  valueWords,
} from "./deb822.ts";

export type MultiArch = "no" | "same" | "foreign" | "allowed";

/** The three words of `Status:`, for example install ok installed. */
export type StatusWords = {
  readonly want: "unknown" | "install" | "hold" | "deinstall" | "purge";
  readonly flag: "ok" | "reinstreq";
  readonly state:
    | "not-installed"
    | "config-files"
    | "half-installed"
    | "unpacked"
    | "half-configured"
    | "triggers-awaited"
    | "triggers-pending"
    | "installed";
};

/** A configuration file: the MD5 of what the package shipped, or "newconffile" while it is unpacked only. */
export type Conffile = {
  /** Absolute, as in the database. */
  readonly path: ByteString;
  readonly md5: ByteString;
  /** The installed version no longer has it. */
  readonly obsolete: boolean;
  readonly removeOnUpgrade: boolean;
};

/** The relations that decide whether a set of packages fits together, unparsed. */
export type RelationFields = {
  readonly depends: ByteString | undefined;
  readonly preDepends: ByteString | undefined;
  readonly provides: ByteString | undefined;
  readonly breaks: ByteString | undefined;
  readonly conflicts: ByteString | undefined;
  readonly replaces: ByteString | undefined;
};

/** What binary packages have in common, in dpkg's database, in a .deb's control file and in a Packages index. */
export type PackageFacts = RelationFields & {
  readonly package: ByteString;
  readonly architecture: ByteString;
  readonly multiArch: MultiArch;
  readonly version: ByteString;
  /** The source package; its version where `Source:` gives one, else the package's. */
  readonly source: { readonly name: ByteString; readonly version: ByteString };
  readonly essential: boolean;
};

/** One stanza of /var/lib/dpkg/status. A package that is not installed has version "" and may lack an architecture (""). */
export type PackageRecord = PackageFacts & {
  readonly status: StatusWords;
  readonly conffiles: readonly Conffile[];
  readonly paragraph: Paragraph;
};

const WANTS: readonly StatusWords["want"][] = ["unknown", "install", "hold", "deinstall", "purge"];
const FLAGS: readonly StatusWords["flag"][] = ["ok", "reinstreq"];
const STATES: readonly StatusWords["state"][] = [
  "not-installed",
  "config-files",
  "half-installed",
  "unpacked",
  "half-configured",
  "triggers-awaited",
  "triggers-pending",
  "installed",
];
const PACKAGE_NAME = /^[a-zA-Z0-9][a-zA-Z0-9+._-]*$/;
const ARCHITECTURE = /^[a-zA-Z0-9][a-zA-Z0-9-]*$/;

/** Parses /var/lib/dpkg/status. @throws AtomfsError "bad-data" */
export function parseStatus(bytes: Uint8Array | ByteString): PackageRecord[] {
  return parseDeb822(bytes).map(parseRecord);
}

/** The file of these stanzas, each followed by a blank line; the bytes that were parsed, for a file written by dpkg. */
export function encodeStatus(records: readonly PackageRecord[]): ByteString {
  return records.map((record) => `${encodeParagraph(record.paragraph)}\n`).join("") as ByteString;
}

/** @throws AtomfsError "bad-data" */
export function parseRecord(paragraph: Paragraph): PackageRecord {
  const status = parseStatusWords(requiredField(paragraph, "Status"));
  const isAbsent = status.state === "not-installed" || status.state === "config-files";
  return {
    ...parseFacts(paragraph, { isAbsent }),
    status,
    conffiles: parseConffiles(fieldValue(paragraph, "Conffiles") ?? ("" as ByteString)),
    paragraph,
  };
}

/**
 * Reads the facts of a package's paragraph. Only one that is absent (removed, or never installed) may lack
 * architecture and version.
 * @throws AtomfsError "bad-data", also for a package name or architecture that could not be part of a file name
 */
export function parseFacts(paragraph: Paragraph, options: { isAbsent?: boolean } = {}): PackageFacts {
  const get = (name: string): ByteString | undefined => fieldValue(paragraph, name);
  const need = (name: string): ByteString =>
    options.isAbsent === true ? (get(name) ?? ("" as ByteString)) : requiredField(paragraph, name);
  const name = requiredField(paragraph, "Package");
  const bad = (why: string): AtomfsError =>
    new AtomfsError(
      "bad-data",
      `Cannot use paragraph of package "${displayText(name.slice(0, 80) as ByteString)}": ${why}`,
    );
  if (!PACKAGE_NAME.test(name)) throw bad("invalid package name");
  const architecture = need("Architecture");
  if (architecture !== "" && !ARCHITECTURE.test(architecture)) throw bad("invalid architecture");
  const version = need("Version");
  return {
    package: name,
    architecture,
    multiArch: parseMultiArch(get("Multi-Arch"), bad),
    version,
    source: parseSource(get("Source"), name, version),
    essential: get("Essential")?.toLowerCase() === "yes",
    depends: get("Depends"),
    preDepends: get("Pre-Depends"),
    provides: get("Provides"),
    breaks: get("Breaks"),
    conflicts: get("Conflicts"),
    replaces: get("Replaces"),
  };
}

/** The lines of a `Conffiles:` value. @throws AtomfsError "bad-data" */
export function parseConffiles(value: ByteString): Conffile[] {
  return valueLines(value).map((line) => {
    const words = line.split(" ");
    const flags = new Set<string>();
    while (words.at(-1) === "obsolete" || words.at(-1) === "remove-on-upgrade") flags.add(words.pop() ?? "");
    const md5 = words.pop() ?? "";
    const path = words.join(" ");
    if (!path.startsWith("/") || md5 === "") {
      throw new AtomfsError(
        "bad-data",
        `Cannot parse conffile line "${displayText(line.slice(0, 80) as ByteString)}": want path and MD5`,
      );
    }
    return {
      path: path as ByteString,
      md5: md5 as ByteString,
      obsolete: flags.has("obsolete"),
      removeOnUpgrade: flags.has("remove-on-upgrade"),
    };
  });
}

/** "libc6:amd64" for packages that can be installed for several architectures at once, else "bash". */
export function infoBaseName(
  record: Pick<PackageFacts, "package" | "architecture" | "multiArch">,
): ByteString {
  const name = record.multiArch === "same" ? `${record.package}:${record.architecture}` : record.package;
  return name as ByteString;
}

function parseStatusWords(value: ByteString): StatusWords {
  const [wantWord, flagWord, stateWord, ...rest] = valueWords(value);
  const want = WANTS.find((word) => word === wantWord);
  const flag = FLAGS.find((word) => word === flagWord);
  const state = STATES.find((word) => word === stateWord);
  if (want === undefined || flag === undefined || state === undefined || rest.length > 0) {
    throw new AtomfsError(
      "bad-data",
      `Cannot parse package status "${displayText(value.slice(0, 80) as ByteString)}"`,
    );
  }
  return { want, flag, state };
}

function parseMultiArch(value: ByteString | undefined, bad: (why: string) => AtomfsError): MultiArch {
  const word = value?.toLowerCase() ?? "no";
  if (word === "no" || word === "same" || word === "foreign" || word === "allowed") return word;
  throw bad("invalid Multi-Arch");
}

function parseSource(
  value: ByteString | undefined,
  name: ByteString,
  version: ByteString,
): PackageFacts["source"] {
  if (value === undefined || value === "") return { name, version };
  const match = /^(\S+)\s*(?:\(([^)\s]+)\))?$/.exec(value);
  if (match?.[1] === undefined) {
    throw new AtomfsError(
      "bad-data",
      `Cannot parse source package "${displayText(value.slice(0, 80) as ByteString)}"`,
    );
  }
  return { name: match[1] as ByteString, version: (match[2] as ByteString | undefined) ?? version };
}
