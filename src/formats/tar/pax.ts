import { type ByteString, fromBytes } from "../../core/bytestring.ts";
import type { Mtime } from "../../core/tree.ts";
import { badTar } from "./member.ts";

/** Keywords and values of a PAX extended header, as bytes. An empty value means "as the header block says". */
export type PaxRecords = ReadonlyMap<ByteString, ByteString>;

/** GNU tar's rule for the old sparse keywords, which are repeated in one header (format 0.0). */
const REPEATED = new Set(["GNU.sparse.offset", "GNU.sparse.numbytes"]);

const XATTR_PREFIX = "SCHILY.xattr.";
const MAX_LENGTH_DIGITS = 7;

/**
 * Parses "LENGTH KEYWORD=VALUE\n" records (POSIX.1-2017 pax, "pax Extended Header"). The values of repeated sparse
 * keywords are joined by "," into `GNU.sparse.map`, so that format 0.0 reads as 0.1.
 */
export function parsePaxRecords(bytes: Uint8Array): Map<ByteString, ByteString> {
  const text = fromBytes(bytes);
  const records = new Map<ByteString, ByteString>();
  const sparse: string[] = [];
  let at = 0;
  while (at < text.length) {
    const space = text.indexOf(" ", at);
    const digits = space < 0 || space - at > MAX_LENGTH_DIGITS ? "" : text.slice(at, space);
    const end = /^[0-9]+$/.test(digits) ? at + Number(digits) : -1;
    if (end <= space + 1 || end > text.length || text[end - 1] !== "\n")
      throw badTar("a PAX record is malformed");
    const equals = text.indexOf("=", space + 1);
    if (equals <= space + 1 || equals >= end) throw badTar("a PAX record has no keyword");
    const keyword = text.slice(space + 1, equals);
    const value = text.slice(equals + 1, end - 1) as ByteString;
    if (keyword.includes("\0")) throw badTar("a PAX keyword contains NUL");
    if (REPEATED.has(keyword)) {
      const expected = sparse.length % 2 === 0 ? "GNU.sparse.offset" : "GNU.sparse.numbytes";
      if (keyword !== expected) throw badTar("its sparse records are not in pairs");
      sparse.push(value);
    } else {
      records.set(keyword as ByteString, value);
    }
    at = end;
  }
  if (sparse.length > 0) records.set("GNU.sparse.map" as ByteString, sparse.join(",") as ByteString);
  return records;
}

/** The extended attributes among records. GNU tar writes "%" and "=" in their names as %25 and %3D. */
export function paxXattrs(records: PaxRecords): ReadonlyMap<ByteString, ByteString> {
  const xattrs = new Map<ByteString, ByteString>();
  for (const [keyword, value] of records) {
    if (!keyword.startsWith(XATTR_PREFIX)) continue;
    const name = keyword.slice(XATTR_PREFIX.length).replace(/%3D/g, "=").replace(/%25/g, "%");
    if (name === "") throw badTar("an extended attribute has no name");
    xattrs.set(name as ByteString, value);
  }
  return xattrs;
}

export function xattrKeyword(name: ByteString): ByteString {
  return `${XATTR_PREFIX}${name.replace(/%/g, "%25").replace(/=/g, "%3D")}` as ByteString;
}

/** A decimal number; undefined if the record is absent or empty. */
export function paxNumber(records: PaxRecords, keyword: string): number | undefined {
  const value = records.get(keyword as ByteString);
  if (value === undefined || value === "") return undefined;
  const number = /^[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw badTar(`the PAX record ${keyword} is not a number in range`);
  return number;
}

/** Seconds with a decimal fraction, perhaps negative; digits beyond nanoseconds are cut off. */
export function paxTime(records: PaxRecords, keyword: string): Mtime | undefined {
  const value = records.get(keyword as ByteString);
  if (value === undefined || value === "") return undefined;
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value);
  if (match === null) throw badTar(`the PAX record ${keyword} is not a time`);
  const sec = Number(match[2]);
  const nsec = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] === "") return { sec, nsec };
  return nsec === 0 ? { sec: 0 - sec, nsec } : { sec: -sec - 1, nsec: 1_000_000_000 - nsec };
}

export function formatPaxTime(time: Mtime): string {
  const negative = time.sec < 0 && time.nsec > 0;
  const sec = negative ? -time.sec - 1 : time.sec;
  const nsec = negative ? 1_000_000_000 - time.nsec : time.nsec;
  const fraction = nsec === 0 ? "" : `.${String(nsec).padStart(9, "0").replace(/0+$/, "")}`;
  return `${negative ? "-" : ""}${sec}${fraction}`;
}

export function formatPaxRecords(records: PaxRecords): ByteString {
  let text = "";
  for (const [keyword, value] of records) {
    const rest = ` ${keyword}=${value}\n`;
    let length = rest.length + 1;
    // The length counts its own digits.
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    text += `${length}${rest}`;
  }
  return text as ByteString;
}
