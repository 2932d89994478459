import { createHash } from "node:crypto";
import { atomEntries } from "../atoms/atom-entries.ts";
import {
  type ByteString,
  compareBytes,
  displayText,
  fromText,
  parseTreePath,
  ROOT,
  type TreePath,
  toBytes,
} from "../core/bytestring.ts";
import { parseSha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { type ContentSink, EMPTY_XATTRS, type FileInode, type Mtime } from "../core/tree.ts";
import type { Atom, ControlMember, DebIdentity } from "../formats/atom/atom.ts";
import { parseOneParagraph } from "../formats/dpkg/deb822.ts";
import { encodeFileList } from "../formats/dpkg/lists.ts";
import { parseFacts } from "../formats/dpkg/status.ts";
import type { TarMember } from "../formats/tar/member.ts";
import { MAX_DEB_SIZE, readDeb } from "../sources/deb.ts";
import { unpackMembers } from "../sources/flatten.ts";
import { readFileBounded } from "../sys/files.ts";

/**
 * Makes the atom of a package file: every entry of data.tar as spelled there, and control.tar's members with one that
 * dpkg makes itself: `list`, the paths in the archive's order.
 */
export async function readDebAtom(path: string, sink: ContentSink, signal?: AbortSignal): Promise<Atom> {
  const bytes = readFileBounded(path, MAX_DEB_SIZE);
  const options = signal === undefined ? {} : { signal };
  const deb = await readDeb(bytes, options);
  const paths = new Set<TreePath>();
  const tree = await unpackMembers(notePaths(deb.openData(), paths), sink, options);
  const listed = [...paths].map((each): ByteString => (each === ROOT ? ("/." as ByteString) : each));
  const control: ControlMember[] = [];
  const put = async (name: ByteString, content: Uint8Array, mode: number, mtime: Mtime): Promise<void> => {
    const inode = { ...plainFile(mode, mtime), content: await sink.put([content], content.length) };
    control.push({ name, inode });
  };
  for (const [name, member] of deb.controlMembers) await put(name, member.bytes, member.mode, member.mtime);
  const controlFile = deb.controlMembers.get(fromText("control"));
  if (controlFile === undefined) throw new AtomfsError("bad-data", `${path} has no control file`);
  await put(fromText("list"), toBytes(encodeFileList(listed)), 0o644, controlFile.mtime);
  return {
    origin: {
      kind: "deb",
      package: identityOf(controlFile.bytes),
      deb: parseSha256(createHash("sha256").update(bytes).digest("hex")),
    },
    // Directories that the package puts files into, but lacks itself, are the image's.
    entries: atomEntries(tree, paths),
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

/** The members as they come; their paths are noted in the archive's order. */
async function* notePaths(
  members: AsyncIterable<TarMember>,
  paths: Set<TreePath>,
): AsyncGenerator<TarMember, void, void> {
  for await (const member of members) {
    const path = parseTreePath(member.path);
    if (path === undefined || paths.has(path)) {
      const why = path === undefined ? "leads out of it" : "is there twice";
      throw new AtomfsError("bad-data", `The package's path ${displayText(member.path)} ${why}`);
    }
    paths.add(path);
    yield member;
  }
}
