import { Cursor } from "../../bytes/cursor.ts";
import { readStruct } from "../../bytes/struct.ts";
import type { ByteString } from "../../core/bytestring.ts";
import type { ErofsImage, RawInode } from "./image.ts";
import { BLOCK, DIRENT, DIRENT_SIZE, FILE_TYPES, MAX_NAME } from "./layout.ts";

export type RawEntry = { readonly name: ByteString; readonly nid: number; readonly fileType: number };

/**
 * A directory's entries without "." and "..", which must lead to it and to `parentNid`.
 * @throws AtomfsError "bad-data" if names are not strictly ascending (the kernel searches by halves) or are no names
 */
export function readDirectory(image: ErofsImage, directory: RawInode, parentNid: number): RawEntry[] {
  const data = image.flatData(directory, Number.MAX_SAFE_INTEGER);
  const entries: RawEntry[] = [];
  const expected = new Map([
    [".", directory.nid],
    ["..", parentNid],
  ]);
  let previous = "";
  for (let at = 0; at < data.length; at += BLOCK) {
    const cursor = new Cursor(data.subarray(at, at + BLOCK), `EROFS directory ${directory.nid}`);
    for (const entry of readBlock(cursor)) {
      const { name, nid } = entry;
      if (name <= previous) throw cursor.bad("names are not in order");
      previous = name;
      if (expected.has(name)) {
        if (expected.get(name) !== nid || entry.fileType !== FILE_TYPES.dir.dirent) {
          throw cursor.bad(`"${name}" leads to inode ${nid}`);
        }
        expected.delete(name);
      } else entries.push(entry);
    }
  }
  if (expected.size > 0) throw image.cursor.bad(`directory ${directory.nid} lacks "." or ".."`);
  return entries;
}

function readBlock(cursor: Cursor): RawEntry[] {
  const first = readStruct(cursor, DIRENT);
  const count = first.nameOffset / DIRENT_SIZE;
  if (!Number.isInteger(count) || count === 0) throw cursor.bad(`first name is at ${first.nameOffset}`);
  const dirents = [first];
  while (dirents.length < count) dirents.push(readStruct(cursor, DIRENT));
  return dirents.map(({ nid, nameOffset, fileType }, i) => {
    if (cursor.at !== nameOffset)
      throw cursor.bad(`name ${i} is at ${nameOffset}, not behind the one before`);
    const next = dirents[i + 1];
    let name = cursor.byteString((next?.nameOffset ?? cursor.length) - nameOffset, "name");
    // Only the last name of a block may be followed by zeros.
    if (next === undefined) name = name.split("\0", 1)[0] as ByteString;
    if (name === "" || name.length > MAX_NAME || name.includes("/") || name.includes("\0")) {
      throw cursor.bad(`name ${i} has ${name.length} bytes, or a "/" or a NUL`);
    }
    return { name, nid, fileType };
  });
}
