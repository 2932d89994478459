import { type ByteString, fromBytes } from "../../core/bytestring.ts";
import { parseSha256, type Sha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import { type Paragraph, parseOneParagraph, requiredField } from "../dpkg/deb822.ts";
import { type PackageFacts, parseFacts } from "../dpkg/status.ts";
import { parseSize } from "./release.ts";

/** A stanza of a Packages index: a package, and where its .deb is. */
export type IndexedPackage = PackageFacts & {
  /** Relative to the archive's base; has no "..". */
  readonly filename: ByteString;
  /** Bytes of the .deb. */
  readonly size: number;
  readonly sha256: Sha256;
  readonly paragraph: Paragraph;
};

export type PackageQuery = {
  /** Binary package names. */
  readonly packages?: ReadonlySet<string>;
  /** Source package names. */
  readonly sources?: ReadonlySet<string>;
};

/** Debian's largest stanza has 30 KB. */
const MAX_PARAGRAPH = 1024 * 1024;
const PACKAGE = "Package: ";
const SOURCE = "\nSource: ";

/** All stanzas of an index. @throws AtomfsError "bad-data" */
export function parsePackages(bytes: Uint8Array): IndexedPackage[] {
  return [...paragraphsOf(bytes)].map((each) => parseIndexed(parseOneParagraph(each)));
}

/**
 * The stanzas with one of these package or source names. Only they are parsed: the rest of the 50 MB of Debian's main
 * index is scanned for names.
 * @throws AtomfsError "bad-data" if an index does not begin its stanzas with "Package: ", as every archive's does
 */
export function findPackages(bytes: Uint8Array, query: PackageQuery): IndexedPackage[] {
  const found: IndexedPackage[] = [];
  for (const paragraph of paragraphsOf(bytes)) {
    const name = lineAt(paragraph, PACKAGE.length);
    const isWanted =
      query.packages?.has(name) === true || query.sources?.has(sourceName(paragraph) ?? name) === true;
    if (isWanted) found.push(parseIndexed(parseOneParagraph(paragraph)));
  }
  return found;
}

function* paragraphsOf(bytes: Uint8Array): Generator<Buffer> {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < all.length; ) {
    if (all[at] === 0x0a) {
      at++;
      continue;
    }
    const blank = all.indexOf("\n\n", at, "latin1");
    const end = blank < 0 ? all.length : blank + 1;
    if (end - at > MAX_PARAGRAPH) throw bad(`a paragraph has more than ${MAX_PARAGRAPH} bytes`);
    const paragraph = all.subarray(at, end);
    if (paragraph.toString("latin1", 0, PACKAGE.length) !== PACKAGE) {
      throw bad('a paragraph does not begin with "Package: "');
    }
    yield paragraph;
    at = end;
  }
}

function sourceName(paragraph: Buffer): string | undefined {
  const at = paragraph.indexOf(SOURCE, 0, "latin1");
  return at < 0 ? undefined : lineAt(paragraph, at + SOURCE.length).replace(/[ (].*$/, "");
}

function lineAt(paragraph: Buffer, at: number): string {
  const newline = paragraph.indexOf(0x0a, at);
  return fromBytes(paragraph.subarray(at, newline < 0 ? paragraph.length : newline)).trimEnd();
}

function parseIndexed(paragraph: Paragraph): IndexedPackage {
  const filename = requiredField(paragraph, "Filename");
  const names = filename.replace(/^\.\//, "").split("/");
  if (names.some((name) => name === "" || name === "." || name === "..")) {
    throw bad("a Filename leaves the archive");
  }
  return {
    ...parseFacts(paragraph),
    filename: names.join("/") as ByteString,
    size: parseSize(requiredField(paragraph, "Size")),
    sha256: parseSha256(requiredField(paragraph, "SHA256").toLowerCase()),
    paragraph,
  };
}

function bad(why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot parse Packages index: ${why}`);
}
