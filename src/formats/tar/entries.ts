import { type ByteString, displayText, fromBytes } from "../../core/bytestring.ts";
import { EMPTY_XATTRS } from "../../core/tree.ts";
import { isZeroBlock, parseHeader, type RawHeader } from "./header.ts";
import { BLOCK, badTar, MAX_EXTENSION, type TarHeader, type TarOptions, type TarType } from "./member.ts";
import { type PaxRecords, parsePaxRecords, paxNumber, paxTime, paxXattrs } from "./pax.ts";
import { parseSparseList, readOldSparse, readSparseLines, type SparseMap } from "./sparse.ts";

/** A member and what follows its headers: `stored` bytes of data, then padding to a whole block. */
export type TarEntry = {
  readonly header: TarHeader;
  readonly stored: number;
  readonly sparse: SparseMap | undefined;
};

/**
 * Asks for input by yielding a count of bytes, and is resumed with exactly these bytes, or with undefined if the
 * archive ends here. So one parser serves archives in memory and archives that arrive in chunks.
 */
export type TarSteps = Generator<number, TarEntry | undefined, Uint8Array | undefined>;

type Extensions = {
  pax: PaxRecords | undefined;
  longName: ByteString | undefined;
  longLink: ByteString | undefined;
};

const NO_RECORDS: PaxRecords = new Map();
const MAX_ID = 0xffffffff;

const TYPES: Readonly<Record<string, TarType>> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "dir",
  D: "dir",
  "6": "fifo",
};

/** Header by header through one archive; keeps the global PAX records. */
export class TarParser {
  readonly #endMark: "required" | "optional";
  #global: PaxRecords = NO_RECORDS;

  constructor(options: TarOptions) {
    this.#endMark = options.endMark ?? "required";
  }

  /** The next member with its extensions applied, or undefined at the archive's end. */
  *next(): TarSteps {
    const found: Extensions = { pax: undefined, longName: undefined, longLink: undefined };
    for (;;) {
      const block = yield BLOCK;
      if (block === undefined || isZeroBlock(block)) {
        if (found.pax !== undefined || found.longName !== undefined || found.longLink !== undefined)
          throw badTar("it ends after an extension header");
        yield* this.#end(block);
        return undefined;
      }
      const raw = parseHeader(block);
      switch (raw.flag) {
        case "g":
          this.#global = new Map([...this.#global, ...parsePaxRecords(yield* extension(raw))]);
          continue;
        case "x":
          if (found.pax !== undefined) throw badTar("two PAX headers precede one member");
          found.pax = parsePaxRecords(yield* extension(raw));
          continue;
        case "L":
          if (found.longName !== undefined) throw badTar("two long names precede one member");
          found.longName = toNul(yield* extension(raw));
          continue;
        case "K":
          if (found.longLink !== undefined) throw badTar("two long link targets precede one member");
          found.longLink = toNul(yield* extension(raw));
          continue;
        case "V":
          continue;
        default:
          return yield* this.#member(block, raw, found);
      }
    }
  }

  *#end(zeroBlock: Uint8Array | undefined): Generator<number, void, Uint8Array | undefined> {
    const second = zeroBlock === undefined ? undefined : yield BLOCK;
    if (second !== undefined && !isZeroBlock(second)) throw badTar("a lone zero block is not at its end");
    if (second === undefined && this.#endMark === "required") {
      throw badTar("it is cut off (no end mark of two zero blocks)");
    }
  }

  *#member(block: Uint8Array, raw: RawHeader, found: Extensions): TarSteps {
    const records = this.#recordsOf(found.pax);
    const named = withNames(raw, records, found);
    const type = typeOf(raw.flag, named.path);
    let stored = paxNumber(records, "size") ?? raw.size;
    if (stored < 0) throw badTar(`the size of ${displayText(named.path)} is negative`);
    // As in Go's archive/tar: only files have data, whatever the size field of the others holds.
    if (type !== "file" && raw.flag !== "D") stored = 0;
    let sparse: SparseMap | undefined;
    if (raw.flag === "S") {
      sparse = yield* readOldSparse(block, stored);
    } else if (type === "file") {
      const size = paxNumber(records, "GNU.sparse.realsize") ?? paxNumber(records, "GNU.sparse.size");
      const list = records.get("GNU.sparse.map" as ByteString);
      if (paxNumber(records, "GNU.sparse.major") !== undefined) {
        requireSparse10(records);
        const lines = yield* readSparseLines(size ?? -1, stored);
        sparse = lines.map;
        stored -= lines.taken;
      } else if (list !== undefined) {
        sparse = parseSparseList(list, size ?? -1, stored);
      }
    }
    const size = sparse?.size ?? (type === "file" ? stored : 0);
    return { header: { ...named, ...attributes(raw, records), type, size }, stored, sparse };
  }

  #recordsOf(local: PaxRecords | undefined): PaxRecords {
    if (local === undefined) return this.#global;
    return this.#global.size === 0 ? local : new Map([...this.#global, ...local]);
  }
}

function* extension(raw: RawHeader): Generator<number, Uint8Array, Uint8Array | undefined> {
  if (raw.size < 0 || raw.size > MAX_EXTENSION) {
    throw badTar(`an extension header has ${raw.size} bytes, the limit is ${MAX_EXTENSION}`);
  }
  if (raw.size === 0) return new Uint8Array();
  const padded = yield Math.ceil(raw.size / BLOCK) * BLOCK;
  if (padded === undefined) throw badTar("it ends inside an extension header");
  return padded.subarray(0, raw.size);
}

function toNul(bytes: Uint8Array): ByteString {
  const end = bytes.indexOf(0);
  return fromBytes(end < 0 ? bytes : bytes.subarray(0, end));
}

function withNames(
  raw: RawHeader,
  records: PaxRecords,
  found: Extensions,
): { path: ByteString; linkTarget: ByteString } {
  const isLink = raw.flag === "1" || raw.flag === "2";
  const path = found.longName || record(records, "GNU.sparse.name") || record(records, "path") || raw.name;
  const linkTarget = isLink ? found.longLink || record(records, "linkpath") || raw.linkName : "";
  if (path.includes("\0") || linkTarget.includes("\0")) throw badTar("a name contains NUL");
  return { path, linkTarget: linkTarget as ByteString };
}

function record(records: PaxRecords, keyword: string): ByteString | undefined {
  return records.get(keyword as ByteString);
}

/** Archives older than ustar mark a directory only by the slash at its name's end. */
function typeOf(flag: string, path: ByteString): TarType {
  const type = TYPES[flag];
  if (type === undefined) {
    throw badTar(`${displayText(path)} has the unknown type ${JSON.stringify(flag)}`);
  }
  return (flag === "\0" || flag === "0") && path.endsWith("/") ? "dir" : type;
}

function requireSparse10(records: PaxRecords): void {
  const version = `${record(records, "GNU.sparse.major")}.${record(records, "GNU.sparse.minor")}`;
  if (version !== "1.0") throw badTar(`sparse format ${displayText(version as ByteString)} is unknown`);
}

function attributes(
  raw: RawHeader,
  records: PaxRecords,
): Pick<TarHeader, "mode" | "uid" | "gid" | "mtime" | "xattrs" | "major" | "minor"> {
  const uid = paxNumber(records, "uid") ?? raw.uid;
  const gid = paxNumber(records, "gid") ?? raw.gid;
  if (uid < 0 || uid > MAX_ID || gid < 0 || gid > MAX_ID)
    throw badTar(`${displayText(raw.name)} has an owner out of range`);
  if (raw.major < 0 || raw.major > 0xfff || raw.minor < 0 || raw.minor > 0xfffff)
    throw badTar(`${displayText(raw.name)} has a device number out of range`);
  if (raw.mode < 0) throw badTar(`${displayText(raw.name)} has a negative mode`);
  return {
    mode: raw.mode % 0o10000,
    uid,
    gid,
    mtime: paxTime(records, "mtime") ?? { sec: raw.mtime, nsec: 0 },
    xattrs: records.size === 0 ? EMPTY_XATTRS : paxXattrs(records),
    major: raw.major,
    minor: raw.minor,
  };
}
