import type { ByteString } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { type Field, fieldValue, type Paragraph } from "./deb822.ts";
import { formatDependencies, parseDependencies } from "./dependency.ts";
import { type Conffile, type PackageRecord, parseFacts, parseRecord, type StatusWords } from "./status.ts";
import { formatVersion, parseVersion } from "./version.ts";

type Writer = "name" | "boolean" | "words" | "text" | "multiarch" | "version" | "dependency" | "conffiles";

/** The order in which dpkg 1.21 writes a stanza (its lib/dpkg/parse.c, fieldinfos); all other fields follow. */
const CANONICAL: readonly (readonly [string, Writer])[] = [
  ["Package", "name"],
  ["Essential", "boolean"],
  ["Protected", "boolean"],
  ["Status", "words"],
  ["Priority", "text"],
  ["Section", "text"],
  ["Installed-Size", "text"],
  ["Origin", "text"],
  ["Maintainer", "text"],
  ["Bugs", "text"],
  ["Architecture", "text"],
  ["Multi-Arch", "multiarch"],
  ["Source", "text"],
  ["Version", "version"],
  ["Replaces", "dependency"],
  ["Provides", "dependency"],
  ["Depends", "dependency"],
  ["Pre-Depends", "dependency"],
  ["Recommends", "dependency"],
  ["Suggests", "dependency"],
  ["Breaks", "dependency"],
  ["Conflicts", "dependency"],
  ["Enhances", "dependency"],
  ["Conffiles", "conffiles"],
  ["Description", "text"],
];

/** Fields of a .deb that dpkg does not take into its database: they describe states and archives. */
const NOT_TAKEN: ReadonlySet<string> = new Set([
  "config-version",
  "triggers-pending",
  "triggers-awaited",
  "filename",
  "size",
  "md5sum",
  "msdos-filename",
  "revision",
  "package-revision",
  "package_revision",
]);

/** Spellings that dpkg still reads, and the names it writes. */
const NICKNAMES: ReadonlyMap<string, string> = new Map([
  ["recommended", "recommends"],
  ["optional", "suggests"],
  ["class", "priority"],
]);

const PRIORITIES: ReadonlySet<string> = new Set(["required", "important", "standard", "optional", "extra"]);

export type NewPackage = {
  /** The `control` file of the .deb. */
  readonly control: Paragraph;
  /** In dpkg's order: see `mergeConffiles`. */
  readonly conffiles: readonly Conffile[];
  readonly status: StatusWords;
};

/**
 * The stanza that dpkg 1.21 would write after it installed `next` over `old` (undefined: over nothing). Section and
 * priority of the old stanza stay if the new package gives none; nothing else of it does.
 * @throws AtomfsError "bad-data"
 */
export function replaceStanza(old: PackageRecord | undefined, next: NewPackage): PackageRecord {
  const facts = parseFacts(next.control);
  const given = new Map<string, ByteString>();
  for (const { name, raw } of next.control.fields) {
    const key = name.toLowerCase();
    given.set(NICKNAMES.get(key) ?? key, keptText(raw));
  }
  const kept = (name: string): ByteString | undefined =>
    old === undefined ? undefined : fieldValue(old.paragraph, name);
  const section = given.get("section") || kept("section");
  if (section !== undefined) given.set("section", section);
  const priority = given.get("priority") || kept("priority");
  if (priority !== undefined) given.set("priority", normalPriority(priority));
  given.set("package", facts.package);
  given.set("status", `${next.status.want} ${next.status.flag} ${next.status.state}` as ByteString);

  const fields: Field[] = [];
  const canonical = new Set<string>();
  for (const [name, writer] of CANONICAL) {
    canonical.add(name.toLowerCase());
    const raw =
      writer === "conffiles"
        ? encodeConffiles(next.conffiles)
        : encodeValue(writer, given.get(name.toLowerCase()));
    if (raw !== undefined) fields.push({ name: name as ByteString, raw });
  }
  for (const { name } of next.control.fields) {
    const key = name.toLowerCase();
    if (canonical.has(NICKNAMES.get(key) ?? key) || NOT_TAKEN.has(key)) continue;
    fields.push({ name, raw: ` ${given.get(key) ?? ""}` as ByteString });
  }
  return parseRecord({ fields });
}

/**
 * The conffiles of a package after an upgrade, in dpkg's order: those of the new version (MD5 of what it ships), then
 * as obsolete those that the old version had, in the reverse order of its file list, as long as they are on disk.
 */
export function mergeConffiles(
  old: readonly Conffile[],
  next: readonly Conffile[],
  oldList: readonly ByteString[],
  isOnDisk: (path: ByteString) => boolean,
): Conffile[] {
  const oldByPath = new Map(old.map((each) => [each.path, each]));
  const nextPaths = new Set(next.map((each) => each.path));
  const merged = [...next];
  for (const path of [...oldList].reverse()) {
    const conffile = oldByPath.get(path);
    if (conffile === undefined || nextPaths.has(path) || !isOnDisk(path)) continue;
    merged.push({ ...conffile, obsolete: true });
  }
  return merged;
}

function encodeConffiles(conffiles: readonly Conffile[]): ByteString | undefined {
  if (conffiles.length === 0) return undefined;
  const lines = conffiles.map(
    (each) =>
      `\n ${each.path} ${each.md5}${each.obsolete ? " obsolete" : ""}${each.removeOnUpgrade ? " remove-on-upgrade" : ""}`,
  );
  return lines.join("") as ByteString;
}

function encodeValue(
  writer: Exclude<Writer, "conffiles">,
  value: ByteString | undefined,
): ByteString | undefined {
  if (value === undefined || value === "") return undefined;
  const written = normalValue(writer, value);
  return written === "" ? undefined : (` ${written}` as ByteString);
}

function normalValue(writer: Exclude<Writer, "conffiles">, value: ByteString): string {
  switch (writer) {
    case "name":
      return value.toLowerCase();
    case "boolean":
      return parseYes(value) ? "yes" : "";
    case "multiarch":
      return value.toLowerCase() === "no" ? "" : value.toLowerCase();
    case "version":
      return formatVersion(parseVersion(value));
    case "dependency":
      return formatDependencies(parseDependencies(value));
    case "words":
    case "text":
      return value;
  }
}

/** dpkg takes away the blanks before a value, but not an empty first line. */
function keptText(raw: ByteString): ByteString {
  return raw.replace(/^[ \t\v\f\r]+/, "").replace(/[ \t\n\v\f\r]+$/, "") as ByteString;
}

function parseYes(value: ByteString): boolean {
  const word = value.toLowerCase();
  if (word !== "yes" && word !== "no") {
    throw new AtomfsError(
      "bad-data",
      `Cannot use control file: "${word.slice(0, 80)}" is neither yes nor no`,
    );
  }
  return word === "yes";
}

/** Known priorities are written in lower case, others as they came. */
function normalPriority(value: ByteString): ByteString {
  const word = value.toLowerCase();
  return (PRIORITIES.has(word) ? word : value) as ByteString;
}
