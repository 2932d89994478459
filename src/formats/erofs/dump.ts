import { type ByteString, displayText, fromBytes, ROOT, type TreePath } from "../../core/bytestring.ts";
import { parseVerityDigest } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import type { Mtime, Tree } from "../../core/tree.ts";
import { decodeDevice, encodeDevice, FILE_TYPES, fileTypeOfMode, MAX_NAME } from "./layout.ts";
import {
  contentOf,
  type ErofsInode,
  type ErofsNode,
  nodesOfTree,
  objectPath,
  sortEntries,
  treeOfNodes,
  walk,
} from "./node.ts";

/** composefs-dump(5) of a tree: what `mkcomposefs --from-file` makes into the image that `writeErofs` makes. ASCII. */
export function encodeDump(tree: Tree): string {
  return encodeNodes(nodesOfTree(tree));
}

/** @throws AtomfsError "bad-data" for text that is no dump, and for files whose data is not an object */
export function decodeDump(text: Uint8Array): Tree {
  return treeOfNodes(decodeNodes(text));
}

const ABSENT = "-";
const ROOT_TEXT = "/" as ByteString;

/** As `encodeDump`, with the nodes' own link counts. */
export function encodeNodes(root: ErofsNode): string {
  const firstPath = new Map<ErofsNode, TreePath>();
  let text = "";
  for (const { path, node } of walk(root)) {
    const target = node.inode.type === "dir" ? undefined : firstPath.get(node);
    if (target === undefined && node.inode.type !== "dir") firstPath.set(node, path);
    text += `${encodeLine(path, node, target)}\n`;
  }
  return text;
}

function encodeLine(path: TreePath, node: ErofsNode, linkTarget: TreePath | undefined): string {
  const { inode } = node;
  const { size, payload, content, digest } = describe(inode);
  const mode = (FILE_TYPES[inode.type].mode | inode.mode).toString(8);
  const links =
    inode.type === "dir"
      ? 2 + node.entries.filter((entry) => entry.node.inode.type === "dir").length
      : node.links;
  const rdev = inode.type === "char" || inode.type === "block" ? encodeDevice(inode.major, inode.minor) : 0;
  const fields = [
    escapeField(path === ROOT ? ROOT_TEXT : path),
    size,
    linkTarget === undefined ? mode : `@${mode}`,
    links,
    inode.uid,
    inode.gid,
    rdev,
    `${inode.mtime.sec}.${inode.mtime.nsec}`,
    escapeField(linkTarget ?? payload),
    escapeField(content),
    digest ?? ABSENT,
  ];
  const xattrs = [...inode.xattrs].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  for (const [name, value] of xattrs) fields.push(`${escapeXattrField(name)}=${escapeXattrField(value)}`);
  return fields.join(" ");
}

function describe(inode: ErofsInode): {
  readonly size: number;
  readonly payload?: ByteString;
  readonly content?: ByteString;
  readonly digest?: string | undefined;
} {
  if (inode.type === "symlink") return { size: inode.target.length, payload: inode.target };
  if (inode.type !== "file") return { size: 0 };
  const file = inode.content;
  if (file.kind === "inline") return { size: file.bytes.length, content: file.bytes };
  const payload = file.kind === "object" ? objectPath(file.digest) : file.payload;
  return { size: file.size, payload, digest: file.digest };
}

function hex(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function escapeField(field: ByteString | undefined): string {
  if (field === undefined || field === "") return ABSENT;
  return field === ABSENT ? hex(ABSENT) : field.replace(/[^\x21-\x5b\x5d-\x7e]/g, hex);
}

function escapeXattrField(text: ByteString): string {
  return text.replace(/[^\x21-\x3c\x3e-\x5b\x5d-\x7e]/g, hex);
}

/** As `decodeDump`, for any dump. */
export function decodeNodes(text: Uint8Array): ErofsNode {
  const nodes = new Map<string, ErofsNode>();
  const links: { readonly line: number; readonly path: ByteString; readonly target: ByteString }[] = [];
  const lines = fromBytes(text).split("\n");
  for (const [index, line] of lines.entries()) {
    if (line === "" && index === lines.length - 1) break;
    const number = index + 1;
    const fields = line.split(" ");
    const path = unescapeField(number, fields[0]);
    if (nodes.has(path)) throw bad(number, `${displayText(path)} is there twice`);
    if (fields[2]?.startsWith("@")) {
      links.push({ line: number, path, target: unescapeField(number, fields[8]) });
      continue;
    }
    const node: ErofsNode = {
      inode: decodeInode(number, fields),
      links: decimal(number, "NLINK", fields[3], 0xffffffff),
      entries: [],
    };
    attach(number, nodes, path, node);
    nodes.set(path, node);
  }
  for (const { line, path, target } of links) {
    const node = nodes.get(target);
    if (node === undefined || node.inode.type === "dir") throw bad(line, `no file at ${displayText(target)}`);
    if (nodes.has(path)) throw bad(line, `${displayText(path)} is there twice`);
    attach(line, nodes, path, node);
    nodes.set(path, node);
  }
  const root = nodes.get(ROOT_TEXT);
  if (root === undefined) throw new AtomfsError("bad-data", "Dump has no root directory");
  for (const node of nodes.values()) if (node.entries.length > 1) sortEntries(node.entries);
  return root;
}

function attach(
  line: number,
  nodes: ReadonlyMap<string, ErofsNode>,
  path: ByteString,
  node: ErofsNode,
): void {
  if (path === ROOT_TEXT) {
    if (node.inode.type !== "dir") throw bad(line, "the root is no directory");
    return;
  }
  const slash = path.lastIndexOf("/");
  const name = path.slice(slash + 1) as ByteString;
  const directory = slash === 0 ? ROOT_TEXT : path.slice(0, Math.max(slash, 0));
  const parent = nodes.get(directory);
  if (parent?.inode.type !== "dir" || (slash > 0 && directory === ROOT_TEXT))
    throw bad(line, `${displayText(path)} has no directory before it`);
  if (name === "" || name === "." || name === ".." || name.length > MAX_NAME || name.includes("\0")) {
    throw bad(line, `"${displayText(name)}" is no name`);
  }
  parent.entries.push({ name, node });
}

function decodeInode(line: number, fields: readonly string[]): ErofsInode {
  if (!/^[0-7]{1,6}$/.test(fields[2] ?? "")) throw bad(line, `MODE is "${fields[2]}"`);
  const fullMode = Number.parseInt(fields[2] ?? "", 8);
  const type = fileTypeOfMode(fullMode);
  const common = {
    mode: fullMode & 0o7777,
    uid: decimal(line, "UID", fields[4], 0xffffffff),
    gid: decimal(line, "GID", fields[5], 0xffffffff),
    mtime: decodeMtime(line, fields[7]),
    xattrs: decodeXattrs(line, fields.slice(11)),
  };
  switch (type) {
    case "file":
      return { ...common, type, content: decodeContent(line, fields) };
    case "symlink":
      return { ...common, type, target: unescapeField(line, fields[8]) };
    case "char":
    case "block":
      return { ...common, type, ...decodeDevice(decimal(line, "RDEV", fields[6], 0xffffffff)) };
    case "dir":
    case "fifo":
    case "socket":
      return { ...common, type };
    case undefined:
      throw bad(line, `MODE ${fields[2]} has no known file type`);
  }
}

function decodeContent(line: number, fields: readonly string[]): (ErofsInode & { type: "file" })["content"] {
  const size = decimal(line, "SIZE", fields[1], Number.MAX_SAFE_INTEGER);
  const bytes = fields[9] === ABSENT ? undefined : unescapeField(line, fields[9]);
  if (bytes !== undefined || size === 0) {
    if ((bytes?.length ?? 0) !== size) throw bad(line, `CONTENT is ${bytes?.length} bytes, SIZE ${size}`);
    return { kind: "inline", bytes: bytes ?? ("" as ByteString) };
  }
  if (fields[8] === ABSENT) throw bad(line, "a file has neither PAYLOAD nor CONTENT");
  const digest = fields[10] === ABSENT ? undefined : parseVerityDigest(fields[10] ?? "");
  return contentOf(unescapeField(line, fields[8]), size, digest);
}

function decodeXattrs(line: number, fields: readonly string[]): Map<ByteString, ByteString> {
  const xattrs = new Map<ByteString, ByteString>();
  for (const field of fields) {
    const equals = field.indexOf("=");
    const name = unescapeField(line, field.slice(0, Math.max(equals, 0)));
    if (name === "" || xattrs.has(name)) throw bad(line, `"${displayText(field as ByteString)}" is no xattr`);
    xattrs.set(name, unescapeField(line, field.slice(equals + 1)));
  }
  return xattrs;
}

function decodeMtime(line: number, field: string | undefined): Mtime {
  const match = /^(-?\d{1,16})\.(\d{1,9})$/.exec(field ?? "");
  const sec = Number(match?.[1]);
  if (match === null || !Number.isSafeInteger(sec)) throw bad(line, `MTIME is "${field}"`);
  return { sec: sec === 0 ? 0 : sec, nsec: Number(match[2]) };
}

function decimal(line: number, what: string, field: string | undefined, max: number): number {
  const value = Number(field);
  if (!/^\d{1,16}$/.test(field ?? "") || value > max) throw bad(line, `${what} is "${field}"`);
  return value;
}

const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\", n: "\n", r: "\r", t: "\t" };

function unescapeField(line: number, field: string | undefined): ByteString {
  if (field === undefined) throw bad(line, "cut short");
  if (!field.includes("\\")) return field as ByteString;
  return field.replace(/\\(x[0-9a-fA-F]{2}|[\s\S]?)/g, (_all, code: string) => {
    const char = code.length === 3 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : ESCAPES[code];
    if (char === undefined) throw bad(line, `unknown escape \\${displayText(code as ByteString)}`);
    return char;
  }) as ByteString;
}

function bad(line: number, problem: string): AtomfsError {
  return new AtomfsError("bad-data", `composefs dump, line ${line}: ${problem.slice(0, 500)}`);
}
