import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { displayText, parseTreePath } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { parseTarSplitEntry } from "../formats/containers-storage/tar-split.ts";
import { decompress } from "./decompress.ts";
import type { SharedFiles } from "./shared-files.ts";

/** Of a tar-split, uncompressed: some hundred bytes a file. */
const MAX_TAR_SPLIT = 8 * 1024 ** 3;
/** A line holds the headers between two files, with their xattrs, or the padding at the end. */
const MAX_LINE = 64 * 1024 * 1024;
const CHUNK = 1 << 16;
const NEWLINE = 10;

/**
 * The tar that a layer was unpacked from, byte for byte: its headers from the tar-split, its contents from the unpacked
 * files. Only the digest of the whole says whether that succeeded: the caller verifies it.
 * @throws AtomfsError "bad-data" if the tar-split is damaged or a file is not what it was
 */
export async function* replayTar(
  tarSplit: string,
  files: SharedFiles,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const line of linesOf(tarSplit)) {
    const entry = parseTarSplitEntry(line);
    if (entry.kind === "bytes") {
      yield entry.bytes;
      continue;
    }
    if (entry.size === 0) continue;
    const path = parseTreePath(entry.name);
    if (path === undefined)
      throw new AtomfsError(
        "bad-data",
        `Cannot use ${displayText(entry.name)}: its path contains ".." or NUL`,
      );
    yield* files.read(path, entry.size);
  }
}

async function* linesOf(path: string): AsyncGenerator<string, void, void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of decompress(chunksOf(path), MAX_TAR_SPLIT)) {
    const bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let at = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, at)) {
      if (end > at) yield bytes.toString("utf8", at, end);
      at = end + 1;
    }
    rest = bytes.subarray(at);
    if (rest.length > MAX_LINE)
      throw new AtomfsError("bad-data", `Cannot read tar-split: a line is longer than ${MAX_LINE} bytes`);
  }
  if (rest.length > 0) yield rest.toString("utf8");
}

async function* chunksOf(path: string): AsyncGenerator<Uint8Array, void, void> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}
