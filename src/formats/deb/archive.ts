import { type ByteString, displayText, fromBytes } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";

export type DebCompression = "none" | "gzip" | "xz" | "zstd";

/** `bytes` is a view into the package. */
export type DebPart = {
  readonly name: ByteString;
  readonly compression: DebCompression;
  readonly bytes: Uint8Array;
};

export type DebArchive = { readonly control: DebPart; readonly data: DebPart };

const AR_MAGIC = "!<arch>\n";
const HEADER_LENGTH = 60;

const COMPRESSION_BY_SUFFIX: ReadonlyMap<string, DebCompression> = new Map([
  ["", "none"],
  [".gz", "gzip"],
  [".xz", "xz"],
  [".zst", "zstd"],
]);

type ArMember = { readonly name: ByteString; readonly bytes: Uint8Array; readonly next: number };

/**
 * Finds the parts of a Debian package, deb(5): an ar archive of `debian-binary` (2.x), control.tar and data.tar, in
 * this order. Members whose names start with "_" may stand between them; what follows data.tar is not looked at.
 * @throws AtomfsError "bad-data"
 */
export function decodeDeb(bytes: Uint8Array): DebArchive {
  if (fromBytes(bytes.subarray(0, AR_MAGIC.length)) !== AR_MAGIC) throw badDeb("it is not an ar archive");
  const version = arMember(bytes, AR_MAGIC.length);
  if (version.name !== "debian-binary") throw badDeb("its first member is not debian-binary");
  if (!/^2\.[0-9]+\n/.test(fromBytes(version.bytes.subarray(0, 64))))
    throw badDeb("only format version 2 is supported");
  const control = nextPart(bytes, version.next, "control.tar");
  const data = nextPart(bytes, control.next, "data.tar");
  return { control: control.part, data: data.part };
}

function nextPart(bytes: Uint8Array, start: number, stem: string): { part: DebPart; next: number } {
  let at = start;
  for (;;) {
    if (at >= bytes.length) throw badDeb(`it has no ${stem}`);
    const member = arMember(bytes, at);
    at = member.next;
    if (member.name.startsWith("_")) continue;
    const suffix = member.name.startsWith(stem) ? member.name.slice(stem.length) : undefined;
    const compression = suffix === undefined ? undefined : COMPRESSION_BY_SUFFIX.get(suffix);
    if (compression === undefined)
      throw badDeb(`member ${displayText(member.name)} stands where ${stem} (plain, .gz, .xz, .zst) must be`);
    return { part: { name: member.name, compression, bytes: member.bytes }, next: at };
  }
}

function arMember(bytes: Uint8Array, at: number): ArMember {
  if (at + HEADER_LENGTH > bytes.length) throw badDeb("it is cut off");
  const header = fromBytes(bytes.subarray(at, at + HEADER_LENGTH));
  const digits = header.slice(48, 58).trimEnd();
  if (!header.endsWith("`\n") || !/^[0-9]+$/.test(digits)) throw badDeb("a member header is malformed");
  const start = at + HEADER_LENGTH;
  const end = start + Number(digits);
  if (end > bytes.length) throw badDeb("it is cut off");
  // Some writers end names with a slash, as System V's ar does.
  const name = header.slice(0, 16).trimEnd().replace(/\/$/, "") as ByteString;
  return { name, bytes: bytes.subarray(start, end), next: end + (end % 2) };
}

function badDeb(why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot read Debian package: ${why}`);
}
