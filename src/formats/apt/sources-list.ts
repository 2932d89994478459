import { type ByteString, displayText, fromBytes } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";
import { fieldValue, type Paragraph, parseDeb822, requiredField, valueWords } from "../dpkg/deb822.ts";

/** Whose signature an entry asks for. */
export type SignedBy =
  /** No Signed-By: the machine's trusted keys. */
  | { readonly kind: "machine" }
  /** Any of these keyrings (absolute paths) or, among the machine's keys, fingerprints (upper-case hex). */
  | {
      readonly kind: "keys";
      readonly paths: readonly ByteString[];
      readonly fingerprints: readonly ByteString[];
    }
  /** A key written into the entry itself, armored. */
  | { readonly kind: "embedded"; readonly armored: ByteString };

/** One URI and one suite of a `deb` entry; entries for several are taken apart. */
export type SourceEntry = {
  readonly uri: ByteString;
  /** "bookworm-security"; with a slash at its end: a path, for a flat archive. */
  readonly suite: ByteString;
  /** Empty for a flat archive. */
  readonly components: readonly ByteString[];
  /** undefined: all of the machine's. */
  readonly architectures: readonly ByteString[] | undefined;
  readonly signedBy: SignedBy;
  /** The entry says `trusted=yes`. It is never honoured: what has no valid signature is refused all the same. */
  readonly asksForBlindTrust: boolean;
};

/** Parses one-line entries (sources.list(5), "ONE-LINE-STYLE"); deb-src and comments are passed over. @throws AtomfsError "bad-data" */
export function parseOneLineSources(bytes: Uint8Array): SourceEntry[] {
  const entries: SourceEntry[] = [];
  for (const [index, line] of fromBytes(bytes).split("\n").entries()) {
    const text = line.replace(/#.*$/s, "").replace(/^[ \t]+|[ \t\r]+$/g, "");
    if (text === "" || /^deb-src[ \t]/.test(text)) continue;
    const match = /^deb[ \t]+(?:\[([^\]]*)\][ \t]*)?([^ \t[]+)[ \t]+([^ \t]+)(?:[ \t]+(.*))?$/.exec(text);
    if (match?.[2] === undefined || match[3] === undefined)
      throw bad(`line ${index + 1}: want "deb URI suite"`);
    const options = parseOptions((match[1] ?? "") as ByteString, index + 1);
    const architectures = options.get("arch");
    entries.push(
      makeEntry({
        uri: match[2] as ByteString,
        suite: match[3] as ByteString,
        components: valueWords((match[4] ?? "") as ByteString),
        architectures: architectures?.split(",") as ByteString[] | undefined,
        signedBy: parseSignedBy(options.get("signed-by")),
        asksForBlindTrust: isYes(options.get("trusted")),
      }),
    );
  }
  return entries;
}

/** Parses `.sources` files (sources.list(5), "DEB822-STYLE"); disabled entries are passed over. @throws AtomfsError "bad-data" */
export function parseDeb822Sources(bytes: Uint8Array): SourceEntry[] {
  return parseDeb822(bytes, { comments: true }).flatMap(parseSourcesParagraph);
}

function parseSourcesParagraph(paragraph: Paragraph): SourceEntry[] {
  const words = (name: string): ByteString[] => valueWords(fieldValue(paragraph, name) ?? ("" as ByteString));
  const enabled = fieldValue(paragraph, "Enabled")?.toLowerCase();
  if (enabled !== undefined && /^(no|false|without|off|disable|0)$/.test(enabled)) return [];
  if (!valueWords(requiredField(paragraph, "Types")).includes("deb" as ByteString)) return [];
  const architectures = words("Architectures");
  const signedBy = parseSignedBy(fieldValue(paragraph, "Signed-By"));
  const asksForBlindTrust = isYes(fieldValue(paragraph, "Trusted"));
  return valueWords(requiredField(paragraph, "URIs")).flatMap((uri) =>
    valueWords(requiredField(paragraph, "Suites")).map((suite) =>
      makeEntry({
        uri,
        suite,
        components: words("Components"),
        architectures: architectures.length === 0 ? undefined : architectures,
        signedBy,
        asksForBlindTrust,
      }),
    ),
  );
}

function makeEntry(entry: SourceEntry): SourceEntry {
  if (!/^[a-z][a-z0-9+.-]*:/.test(entry.uri)) throw bad("an entry's URI has no scheme");
  const names = [entry.suite, ...entry.components].flatMap((each) => each.replace(/\/$/, "").split("/"));
  if (names.includes("..")) throw bad("an entry's suite or component leaves the archive");
  const isFlat = entry.suite.endsWith("/");
  if (isFlat !== (entry.components.length === 0)) {
    throw bad(
      `suite "${displayText(entry.suite)}" must have components, or be a path that ends with a slash`,
    );
  }
  return entry;
}

/** `name=value` words; `name+=` and `name-=` change a list that this program does not have, so they are refused for arch. */
function parseOptions(text: ByteString, line: number): Map<string, ByteString> {
  const options = new Map<string, ByteString>();
  for (const word of valueWords(text)) {
    const equals = word.indexOf("=");
    const name = word.slice(0, Math.max(0, equals)).toLowerCase();
    if (name === "" || name === "arch+" || name === "arch-")
      throw bad(`line ${line}: cannot use option ${word}`);
    options.set(name, word.slice(equals + 1) as ByteString);
  }
  return options;
}

function parseSignedBy(value: ByteString | undefined): SignedBy {
  if (value === undefined || value === "") return { kind: "machine" };
  if (value.includes("-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
    const lines = value.split("\n").map((line) => line.replace(/^[ \t]+|[ \t\r]+$/g, ""));
    return {
      kind: "embedded",
      armored: lines.map((line) => (line === "." ? "" : line)).join("\n") as ByteString,
    };
  }
  const paths: ByteString[] = [];
  const fingerprints: ByteString[] = [];
  for (const each of value.split(/[ \t\r\n,]+/) as ByteString[]) {
    const fingerprint = each.replace(/!$/, "").toUpperCase();
    if (each.startsWith("/")) paths.push(each);
    else if (/^([0-9A-F]{40}|[0-9A-F]{64})$/.test(fingerprint)) fingerprints.push(fingerprint as ByteString);
    else
      throw bad(
        `Signed-By "${displayText(each.slice(0, 80) as ByteString)}" is neither path nor fingerprint`,
      );
  }
  return { kind: "keys", paths, fingerprints };
}

function isYes(value: ByteString | undefined): boolean {
  return value !== undefined && /^(yes|true|with|on|enable|1)$/i.test(value);
}

function bad(why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot parse apt sources: ${why}`);
}
