import { type ByteString, displayText } from "../../core/bytestring.ts";
import { parseSha256, type Sha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import { fieldValue, parseOneParagraph, requiredField, valueLines, valueWords } from "../dpkg/deb822.ts";

export type ReleaseFile = {
  /** Bytes. */
  readonly size: number;
  readonly sha256: Sha256;
};

/** What an archive's Release file says (the signed part of InRelease). */
export type Release = {
  readonly origin: ByteString | undefined;
  readonly label: ByteString | undefined;
  readonly suite: ByteString | undefined;
  readonly codename: ByteString | undefined;
  readonly date: Date;
  readonly validUntil: Date | undefined;
  readonly architectures: readonly ByteString[];
  readonly components: readonly ByteString[];
  readonly acquireByHash: boolean;
  /** apt takes nothing from here by itself (backports, experimental). */
  readonly notAutomatic: boolean;
  /** binary-all indexes hold packages that the architectures' own indexes lack. */
  readonly separateAll: boolean;
  /** Indexes by their path below the Release file. */
  readonly files: ReadonlyMap<ByteString, ReleaseFile>;
};

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DATE =
  /^[A-Z][a-z]{2}, +(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d{1,2}):(\d{2}):(\d{2}) (?:UTC|GMT|\+0000)$/;

/** @throws AtomfsError "bad-data", also if there is no Date, or no SHA-256 of any file: weaker hashes are not used */
export function parseRelease(text: ByteString | Uint8Array): Release {
  const paragraph = parseOneParagraph(text);
  const get = (name: string): ByteString | undefined => fieldValue(paragraph, name);
  const validUntil = get("Valid-Until");
  const architectures = valueWords(get("Architectures") ?? ("" as ByteString));
  return {
    origin: get("Origin"),
    label: get("Label"),
    suite: get("Suite"),
    codename: get("Codename"),
    date: parseDate(requiredField(paragraph, "Date")),
    validUntil: validUntil === undefined ? undefined : parseDate(validUntil),
    architectures,
    components: valueWords(get("Components") ?? ("" as ByteString)),
    acquireByHash: get("Acquire-By-Hash") === "yes",
    notAutomatic: get("NotAutomatic") === "yes",
    separateAll:
      architectures.includes("all" as ByteString) && get("No-Support-for-Architecture-all") !== "Packages",
    files: parseFiles(requiredField(paragraph, "SHA256")),
  };
}

function parseFiles(value: ByteString): Map<ByteString, ReleaseFile> {
  const files = new Map<ByteString, ReleaseFile>();
  for (const line of valueLines(value)) {
    const [hash, size, name, ...rest] = valueWords(line);
    if (hash === undefined || size === undefined || name === undefined || rest.length > 0) {
      throw bad(`SHA256 line "${displayText(line.slice(0, 80) as ByteString)}"`);
    }
    files.set(name, { size: parseSize(size), sha256: parseSha256(hash.toLowerCase()) });
  }
  return files;
}

/** A decimal number of bytes, 0 to 2^53 - 1. @throws AtomfsError "bad-data" */
export function parseSize(text: ByteString): number {
  const size = Number(text);
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(size)) {
    throw bad(`size "${displayText(text.slice(0, 80) as ByteString)}"`);
  }
  return size;
}

/** RFC 1123 dates, in UTC only: what apt accepts. */
function parseDate(text: ByteString): Date {
  const match = DATE.exec(text);
  const month = MONTHS.indexOf(match?.[2] ?? "");
  if (match === null || month < 0) throw bad(`date "${displayText(text.slice(0, 80) as ByteString)}"`);
  const [day = 0, year = 0, hour = 0, minute = 0, second = 0] = [1, 3, 4, 5, 6].map((at) =>
    Number(match[at]),
  );
  if (day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) throw bad(`date "${text}"`);
  return new Date(Date.UTC(year, month, day, hour, minute, second));
}

function bad(what: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot parse Release file: bad ${what}`);
}
