import { type ByteString, toBytes } from "../../src/core/bytestring.ts";
import { decodeTar, decodeTarBytes } from "../../src/formats/tar/decode.ts";
import { encodeTar } from "../../src/formats/tar/encode.ts";
import { checksum } from "../../src/formats/tar/header.ts";
import type { TarFile, TarType } from "../../src/formats/tar/member.ts";
import { formatPaxRecords } from "../../src/formats/tar/pax.ts";
import { tarFile } from "../support/tar-file.ts";
import { fuzz } from "./harness.ts";

function member(path: string, type: TarType, change: Partial<TarFile> = {}): TarFile {
  const linkTarget = (type === "symlink" || type === "hardlink" ? "target" : "") as ByteString;
  return tarFile(path, { type, linkTarget, gid: 5, mtime: { sec: 1_700_000_000, nsec: 5 }, ...change });
}

const xattrs = new Map([["user.x" as ByteString, "\xff\0" as ByteString]]);
const sparseRecords = formatPaxRecords(
  new Map([
    ["GNU.sparse.major" as ByteString, "1" as ByteString],
    ["GNU.sparse.minor" as ByteString, "0" as ByteString],
    ["GNU.sparse.realsize" as ByteString, "10" as ByteString],
  ]),
);
const sparse = encodeTar([
  member("records", "file", { bytes: toBytes(sparseRecords) }),
  member("s", "file", { bytes: Buffer.from("1\n4\n3\n".padEnd(512, "\0")) }),
]);
// A file of PAX records becomes an extension header by its type flag.
sparse[156] = "x".charCodeAt(0);

const seeds = [
  encodeTar([
    member("./", "dir"),
    member("f".repeat(120), "file", { bytes: new Uint8Array(700), xattrs }),
    member("l", "symlink"),
    member("h", "hardlink"),
    member("c", "char", { major: 5, minor: 1 }),
  ]),
  withChecksums(sparse),
];

/** Mutated headers would nearly all fail at the checksum, so most of them get a right one. */
function withChecksums(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes);
  if ((copy.at(-1) ?? 0) % 4 === 3) return copy;
  for (let at = 0; at + 512 <= copy.length; at += 512) {
    const block = copy.subarray(at, at + 512);
    if (block.subarray(257, 262).toString("latin1") !== "ustar") continue;
    block.write(`${checksum(block).toString(8).padStart(6, "0")}\0 `, 148);
  }
  return copy;
}

fuzz("decodeTarBytes", seeds, (bytes) => decodeTarBytes(withChecksums(bytes), { endMark: "optional" }));

fuzz("decodeTar", seeds, async (bytes) => {
  const archive = withChecksums(bytes);
  async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
    for (let at = 0; at < archive.length; at += 300) yield archive.subarray(at, at + 300);
  }
  for await (const { content } of decodeTar(chunks())) {
    let read = 0;
    for await (const chunk of content) {
      read += chunk.length;
      if (read > 1_000_000) break;
    }
  }
});
