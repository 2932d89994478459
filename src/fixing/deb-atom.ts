import { createHash } from "node:crypto";
import {
  type ByteString,
  compareBytes,
  displayText,
  fromText,
  parseTreePath,
  type TreePath,
} from "../core/bytestring.ts";
import { parseSha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { type ContentSink, EMPTY_XATTRS, type FileInode, type Inode, type Mtime } from "../core/tree.ts";
import type { Atom, AtomEntry, ControlMember, DebIdentity } from "../formats/atom/atom.ts";
import { parseOneParagraph } from "../formats/dpkg/deb822.ts";
import { encodeFileList, encodeMd5sums, type Md5Line } from "../formats/dpkg/lists.ts";
import { parseFacts } from "../formats/dpkg/status.ts";
import type { TarMember } from "../formats/tar/member.ts";
import { readDeb } from "../sources/deb.ts";
import { readFileBounded } from "../sys/files.ts";

const DEB_MAX_BYTES = 4 * 1024 ** 3 - 1;

/**
 * Makes the atom of a package file: every entry of data.tar as spelled there, and control.tar's members, with the two
 * files of info/ that dpkg makes itself: `list` (in the archive's order) and, where the package has none, `md5sums`.
 */
export async function readDebAtom(path: string, sink: ContentSink, signal?: AbortSignal): Promise<Atom> {
  const bytes = readFileBounded(path, DEB_MAX_BYTES);
  const deb = await readDeb(bytes, signal === undefined ? {} : { signal });
  const data = await readData(deb.openData(), sink);
  const control: ControlMember[] = [];
  const put = async (name: ByteString, content: Uint8Array, mode: number, mtime: Mtime): Promise<void> => {
    control.push({
      name,
      inode: { ...plainFile(mode, mtime), content: await sink.put([content], content.length) },
    });
  };
  for (const [name, member] of deb.controlMembers) await put(name, member.bytes, member.mode, member.mtime);
  const time = data.newest;
  await put(fromText("list"), Buffer.from(encodeFileList(data.listed), "latin1"), 0o644, time);
  if (!deb.controlMembers.has(fromText("md5sums"))) {
    await put(fromText("md5sums"), Buffer.from(encodeMd5sums(data.sums), "latin1"), 0o644, time);
  }
  const controlFile = deb.controlMembers.get(fromText("control"));
  if (controlFile === undefined) throw new AtomfsError("bad-data", `${path} has no control file`);
  return {
    origin: {
      kind: "deb",
      package: identityOf(controlFile.bytes),
      deb: parseSha256(createHash("sha256").update(bytes).digest("hex")),
    },
    entries: data.entries.sort((a, b) => compareBytes(a.path, b.path)),
    control: control.sort((a, b) => compareBytes(a.name, b.name)),
  };
}

function plainFile(mode: number, mtime: Mtime): Omit<FileInode, "content"> {
  return { type: "file", mode, uid: 0, gid: 0, mtime, xattrs: EMPTY_XATTRS };
}

function identityOf(control: Uint8Array): DebIdentity {
  const facts = parseFacts(parseOneParagraph(control));
  return {
    name: facts.package,
    architecture: facts.architecture,
    version: facts.version,
    source: facts.source.name,
    sourceVersion: facts.source.version,
  };
}

type Data = { entries: AtomEntry[]; listed: ByteString[]; sums: Md5Line[]; newest: Mtime };

async function readData(members: AsyncIterable<TarMember>, sink: ContentSink): Promise<Data> {
  const byPath = new Map<TreePath, AtomEntry>();
  const data: Data = { entries: [], listed: [], sums: [], newest: { sec: 0, nsec: 0 } };
  for await (const member of members) {
    const path = treePathOf(member.path);
    const entry =
      member.type === "hardlink"
        ? linkEntry(path, member, byPath)
        : { path, inode: await inodeOf(member, sink, data) };
    if (member.mtime.sec > data.newest.sec) data.newest = member.mtime;
    byPath.set(path, entry);
    data.listed.push(path === "" ? ("/." as ByteString) : path);
  }
  data.entries = [...byPath.values()];
  return data;
}

function treePathOf(spelled: ByteString): TreePath {
  const path = parseTreePath(spelled);
  if (path === undefined)
    throw new AtomfsError("bad-data", `The package has the path "${displayText(spelled)}"`);
  return path;
}

/** A hard link shares the inode of its target; both then carry the target's path as the name of their group. */
function linkEntry(path: TreePath, member: TarMember, byPath: Map<TreePath, AtomEntry>): AtomEntry {
  const target = byPath.get(treePathOf(member.linkTarget));
  if (target === undefined || target.inode.type === "dir") {
    throw new AtomfsError(
      "bad-data",
      `The package's hard link ${displayText(path)} leads to nothing before it`,
    );
  }
  const link = target.link ?? (target.path as ByteString);
  byPath.set(target.path, { ...target, link });
  return { path, inode: target.inode, link };
}

async function inodeOf(member: TarMember, sink: ContentSink, data: Data): Promise<Inode> {
  const { mode, uid, gid, mtime, xattrs } = member;
  const attributes = { mode, uid, gid, mtime, xattrs };
  switch (member.type) {
    case "file": {
      const md5 = createHash("md5");
      const content = await sink.put(
        observed(member.content, (chunk) => md5.update(chunk)),
        member.size,
      );
      data.sums.push({
        path: treePathOf(member.path).slice(1) as ByteString,
        md5: fromText(md5.digest("hex")),
      });
      return { type: "file", ...attributes, content };
    }
    case "symlink":
      return { type: "symlink", ...attributes, target: member.linkTarget };
    case "char":
    case "block":
      return { type: member.type, ...attributes, major: member.major, minor: member.minor };
    case "dir":
    case "fifo":
      return { type: member.type, ...attributes };
    case "hardlink":
      throw new TypeError("A hard link has no inode of its own");
  }
}

async function* observed(
  chunks: AsyncIterable<Uint8Array>,
  see: (chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of chunks) {
    see(chunk);
    yield chunk;
  }
}
