import { type ByteString, parseTreePath } from "../../core/bytestring.ts";
import { parseSha256, parseVerityDigest } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import { EMPTY_XATTRS, type FileContent, INLINE_MAX, type Inode, sameInode } from "../../core/tree.ts";
import {
  ATOM_FORMAT_VERSION,
  type Atom,
  type AtomEntry,
  type AtomOrigin,
  type ControlMember,
} from "./atom.ts";

/*
 * Implements docs/formats/atom.md: one JSON value a line. The first line is the header, then come the control members,
 * then the entries. ByteStrings are JSON strings of the characters U+0000 to U+00FF.
 */

type Row = readonly [
  name: string,
  type: string,
  mode: number,
  uid: number,
  gid: number,
  sec: number,
  nsec: number,
  data: string,
  xattrs: readonly (readonly [string, string])[],
  link: string,
];

const TYPE_LETTERS = {
  file: "f",
  dir: "d",
  symlink: "l",
  char: "c",
  block: "b",
  fifo: "p",
  socket: "s",
} as const;

function encodeData(inode: Inode): string {
  switch (inode.type) {
    case "file":
      return inode.content.kind === "inline"
        ? `=${inode.content.bytes}`
        : `${inode.content.size} ${inode.content.digest}`;
    case "symlink":
      return inode.target;
    case "char":
    case "block":
      return `${inode.major}:${inode.minor}`;
    default:
      return "";
  }
}

function encodeRow(name: string, inode: Inode, link: string): string {
  const xattrs = [...inode.xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
  const row: Row = [
    name,
    TYPE_LETTERS[inode.type],
    inode.mode,
    inode.uid,
    inode.gid,
    inode.mtime.sec,
    inode.mtime.nsec,
    encodeData(inode),
    xattrs,
    link,
  ];
  return JSON.stringify(row);
}

/** The canonical bytes of an atom; its id is their SHA-256. @throws TypeError if entries are not in order */
export function encodeAtom(atom: Atom): Uint8Array {
  assertAscending(atom.control.map((member) => member.name));
  assertAscending(atom.entries.map((entry) => entry.path));
  const lines = [encodeHeader(atom.origin, atom.control.length)];
  for (const member of atom.control) lines.push(encodeRow(member.name, member.inode, ""));
  for (const entry of atom.entries) lines.push(encodeRow(entry.path, entry.inode, entry.link ?? ""));
  return Buffer.from(`${lines.join("\n")}\n`, "utf8");
}

function encodeHeader(origin: AtomOrigin, control: number): string {
  return JSON.stringify({ atomfs: "atom", version: ATOM_FORMAT_VERSION, control, origin: inOrder(origin) });
}

/** The same with its fields in the format's order, whoever made it. */
function inOrder(origin: AtomOrigin): AtomOrigin {
  if (origin.kind === "layer") return { kind: "layer", diffId: origin.diffId };
  const { name, architecture, version, source, sourceVersion } = origin.package;
  const identity = { name, architecture, version, source, sourceVersion };
  return origin.kind === "installed"
    ? { kind: "installed", package: identity }
    : { kind: "deb", package: identity, deb: origin.deb };
}

function assertAscending(names: readonly string[]): void {
  for (let i = 1; i < names.length; i++) {
    if ((names[i - 1] as string) >= (names[i] as string))
      throw new TypeError(`Atom entries out of order at ${names[i]}`);
  }
}

function bad(what: string): never {
  throw new AtomfsError("bad-data", `Cannot read atom: ${what}`, { hints: ["run `atomfs fsck`"] });
}

function integer(value: unknown, min: number, max: number, what: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max)
    bad(`${what} is ${JSON.stringify(value)}`);
  return value;
}

function byteString(value: unknown, what: string): ByteString {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: any byte is allowed, wider characters are not
  if (typeof value !== "string" || /[^\u0000-\u00ff]/.test(value)) bad(`${what} is not a byte string`);
  return value as ByteString;
}

function decodeContent(data: ByteString): FileContent {
  if (data.startsWith("=")) {
    if (data.length - 1 > INLINE_MAX) bad(`inline content of ${data.length - 1} bytes`);
    return { kind: "inline", bytes: data.slice(1) as ByteString };
  }
  const space = data.indexOf(" ");
  const size = integer(Number(data.slice(0, space)), INLINE_MAX + 1, Number.MAX_SAFE_INTEGER, "file size");
  return { kind: "object", digest: parseVerityDigest(data.slice(space + 1)), size };
}

function decodeXattrs(value: unknown): ReadonlyMap<ByteString, ByteString> {
  if (!Array.isArray(value)) bad("xattrs are not a list");
  if (value.length === 0) return EMPTY_XATTRS;
  const xattrs = new Map<ByteString, ByteString>();
  for (const pair of value as unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2) bad("an xattr is not a pair");
    xattrs.set(byteString(pair[0], "xattr name"), byteString(pair[1], "xattr value"));
  }
  return xattrs;
}

function decodeInode(row: readonly unknown[]): Inode {
  const data = byteString(row[7], "data");
  const attributes = {
    mode: integer(row[2], 0, 0o7777, "mode"),
    uid: integer(row[3], 0, 0xffffffff, "uid"),
    gid: integer(row[4], 0, 0xffffffff, "gid"),
    mtime: {
      sec: integer(row[5], Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, "mtime"),
      nsec: integer(row[6], 0, 999_999_999, "mtime"),
    },
    xattrs: decodeXattrs(row[8]),
  };
  switch (row[1]) {
    case "f":
      return { type: "file", ...attributes, content: decodeContent(data) };
    case "d":
      return { type: "dir", ...attributes };
    case "l":
      return { type: "symlink", ...attributes, target: data };
    case "c":
    case "b": {
      const [major, minor] = data.split(":");
      return {
        type: row[1] === "c" ? "char" : "block",
        ...attributes,
        major: integer(Number(major), 0, 0xfff, "device major"),
        minor: integer(Number(minor), 0, 0xfffff, "device minor"),
      };
    }
    case "p":
      return { type: "fifo", ...attributes };
    case "s":
      return { type: "socket", ...attributes };
    default:
      return bad(`entry type ${JSON.stringify(row[1])}`);
  }
}

function parseRow(line: string): readonly unknown[] {
  const row = parseJson(line);
  if (!Array.isArray(row) || row.length !== 10) bad("an entry is not a list of 10 values");
  return row;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new AtomfsError("bad-data", "Cannot read atom: a line is not JSON", { cause });
  }
}

function decodeEntry(line: string): AtomEntry {
  const row = parseRow(line);
  const name = byteString(row[0], "path");
  const path = parseTreePath(name);
  if (path === undefined || path !== (name as string)) bad(`path ${JSON.stringify(name)} is not canonical`);
  const link = byteString(row[9], "link");
  const inode = decodeInode(row);
  if (link !== "" && inode.type === "dir") bad(`${JSON.stringify(name)} is a hard link of a directory`);
  requireCanonical(line, encodeRow(path, inode, link));
  return link === "" ? { path, inode } : { path, inode, link };
}

/** One value, one spelling: else equal atoms could have different ids. */
function requireCanonical(line: string, canonical: string): void {
  if (line !== canonical) bad(`${line.slice(0, 80)} is not the canonical spelling`);
}

function decodeMember(line: string): ControlMember {
  const row = parseRow(line);
  const name = byteString(row[0], "control member");
  const inode = decodeInode(row);
  if (inode.type !== "file" || name === "" || name.includes("/"))
    bad(`control member ${JSON.stringify(name)}`);
  requireCanonical(line, encodeRow(name, inode, ""));
  return { name, inode };
}

type Header = {
  readonly atomfs: unknown;
  readonly version: unknown;
  readonly control: unknown;
  readonly origin: unknown;
};

function decodeOrigin(value: unknown): AtomOrigin {
  const origin = value as Record<string, unknown> | null;
  if (typeof origin !== "object" || origin === null) bad("header has no origin");
  if (origin["kind"] === "layer")
    return { kind: "layer", diffId: parseSha256(byteString(origin["diffId"], "diffId")) };
  const fields = origin["package"] as Record<string, unknown> | null;
  if (typeof fields !== "object" || fields === null) bad("header has no package");
  const identity = {
    name: byteString(fields["name"], "package name"),
    architecture: byteString(fields["architecture"], "architecture"),
    version: byteString(fields["version"], "version"),
    source: byteString(fields["source"], "source"),
    sourceVersion: byteString(fields["sourceVersion"], "source version"),
  };
  if (origin["kind"] === "installed") return { kind: "installed", package: identity };
  if (origin["kind"] === "deb")
    return { kind: "deb", package: identity, deb: parseSha256(byteString(origin["deb"], "deb")) };
  return bad(`origin ${JSON.stringify(origin["kind"])}`);
}

/** @throws AtomfsError "bad-data" for anything that `encodeAtom` would not have written */
export function decodeAtom(bytes: Uint8Array): Atom {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8").split("\n");
  if (lines.pop() !== "") bad("it does not end with a newline");
  const header = parseJson(lines[0] ?? "") as Header | null;
  if (header?.atomfs !== "atom") bad("it has no header");
  if (header.version !== ATOM_FORMAT_VERSION)
    bad(`format version ${JSON.stringify(header.version)} is not ${ATOM_FORMAT_VERSION}`);
  const controls = integer(header.control, 0, lines.length - 1, "number of control members");
  const origin = decodeOrigin(header.origin);
  if (controls > 0 && origin.kind !== "deb") bad(`an atom of kind ${origin.kind} has control members`);
  requireCanonical(lines[0] ?? "", encodeHeader(origin, controls));
  const atom: Atom = {
    origin,
    control: lines.slice(1, 1 + controls).map(decodeMember),
    entries: lines.slice(1 + controls).map(decodeEntry),
  };
  for (const names of [atom.control.map((m) => m.name), atom.entries.map((e) => e.path)]) {
    for (let i = 1; i < names.length; i++) {
      if ((names[i - 1] as string) >= (names[i] as string))
        bad(`entries out of order at ${JSON.stringify(names[i])}`);
    }
  }
  checkLinkGroups(atom.entries);
  return atom;
}

function checkLinkGroups(entries: readonly AtomEntry[]): void {
  const groups = new Map<ByteString, Inode>();
  for (const { path, inode, link } of entries) {
    if (link === undefined) continue;
    const first = groups.get(link);
    if (first === undefined) groups.set(link, inode);
    else if (!sameInode(first, inode, { mtime: true }))
      bad(`hard link ${JSON.stringify(path)} differs from the others of its group`);
  }
}
