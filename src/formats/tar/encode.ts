import { type ByteString, fromBytes, toBytes } from "../../core/bytestring.ts";
import { checksum, FIELDS } from "./header.ts";
import { BLOCK, type TarFile, type TarType } from "./member.ts";
import { maxOctal, writeOctal } from "./number.ts";
import { formatPaxRecords, formatPaxTime, xattrKeyword } from "./pax.ts";

const FLAGS: Readonly<Record<TarType, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  dir: "5",
  fifo: "6",
};

/**
 * A ustar archive, with a PAX header before each member that ustar cannot describe; equal input gives equal bytes.
 * @throws RangeError for a member that `decodeTarBytes` would not give back as it is
 */
export function encodeTar(members: Iterable<TarFile>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const member of members) {
    requireWritable(member);
    const records = extensionsOf(member);
    if (records.size > 0) {
      const text = toBytes(formatPaxRecords(records));
      parts.push(headerBlock(PAX_HEADER, "x", text.length), text, padding(text.length));
    }
    parts.push(
      headerBlock(member, FLAGS[member.type], member.bytes.length),
      member.bytes,
      padding(member.bytes.length),
    );
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return Buffer.concat(parts);
}

type HeaderValues = Pick<
  TarFile,
  "path" | "linkTarget" | "mode" | "uid" | "gid" | "mtime" | "major" | "minor"
>;

const PAX_HEADER: HeaderValues = {
  path: "PaxHeader" as ByteString,
  linkTarget: "" as ByteString,
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { sec: 0, nsec: 0 },
  major: 0,
  minor: 0,
};

function requireWritable(member: TarFile): void {
  const isLink = member.type === "symlink" || member.type === "hardlink";
  const isDevice = member.type === "char" || member.type === "block";
  if (member.path === "" || `${member.path}${member.linkTarget}`.includes("\0"))
    throw new RangeError(`Cannot write the name ${JSON.stringify(member.path)} to a tar archive`);
  if (member.type === "file" && member.path.endsWith("/"))
    throw new RangeError("Cannot write a file whose name ends in a slash");
  if (isLink !== (member.linkTarget !== "")) throw new RangeError("Links, and only links, have a target");
  if (!isDevice && (member.major !== 0 || member.minor !== 0))
    throw new RangeError("Only devices have device numbers");
  if (member.bytes.length !== member.size || (member.type !== "file" && member.size !== 0))
    throw new RangeError("Only files have content, and their size is its length");
  if (member.mode < 0 || member.mode > 0o7777) throw new RangeError(`Cannot write mode ${member.mode}`);
  for (const id of [member.uid, member.gid])
    if (!Number.isInteger(id) || id < 0 || id > 0xffffffff) throw new RangeError(`Cannot write owner ${id}`);
}

function extensionsOf(member: TarFile): Map<ByteString, ByteString> {
  const records = new Map<ByteString, ByteString>();
  const add = (keyword: string, value: string | number): void => {
    records.set(keyword as ByteString, String(value) as ByteString);
  };
  if (member.path.length > FIELDS.name[1]) add("path", member.path);
  if (member.linkTarget.length > FIELDS.linkName[1]) add("linkpath", member.linkTarget);
  if (member.uid > maxOctal(8)) add("uid", member.uid);
  if (member.gid > maxOctal(8)) add("gid", member.gid);
  if (member.size > maxOctal(12)) add("size", member.size);
  if (!fitsMtime(member)) add("mtime", formatPaxTime(member.mtime));
  for (const [name, value] of member.xattrs) {
    if (name === "" || name.includes("\0")) throw new RangeError("Cannot write the name of an xattr");
    records.set(xattrKeyword(name), value);
  }
  return records;
}

function fitsMtime(member: HeaderValues): boolean {
  return member.mtime.nsec === 0 && member.mtime.sec >= 0 && member.mtime.sec <= maxOctal(12);
}

function headerBlock(values: HeaderValues, flag: string, size: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const octal = (field: keyof typeof FIELDS, value: number): void =>
    writeOctal(block, FIELDS[field][0], FIELDS[field][1], value);
  const bytes = (field: keyof typeof FIELDS, text: string): void =>
    block.set(toBytes(text.slice(0, FIELDS[field][1]) as ByteString), FIELDS[field][0]);
  bytes("name", values.path);
  octal("mode", values.mode);
  octal("uid", Math.min(values.uid, maxOctal(8)));
  octal("gid", Math.min(values.gid, maxOctal(8)));
  octal("size", Math.min(size, maxOctal(12)));
  octal("mtime", fitsMtime(values) ? values.mtime.sec : 0);
  bytes("type", flag);
  bytes("linkName", values.linkTarget);
  bytes("magic", fromBytes(Buffer.from("ustar\x0000")));
  octal("major", values.major);
  octal("minor", values.minor);
  // Six digits, NUL, space: the one field with an ending of its own.
  writeOctal(block, FIELDS.checksum[0], 7, checksum(block));
  block[FIELDS.checksum[0] + 7] = 0x20;
  return block;
}

function padding(size: number): Uint8Array {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
}
