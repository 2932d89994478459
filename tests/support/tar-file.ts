import type { ByteString } from "../../src/core/bytestring.ts";
import type { TarFile } from "../../src/formats/tar/member.ts";

/** A member of an archive that a test makes: of root, 0755, without bytes; a directory if its path ends with a slash. */
export function tarFile(path: string, change: Partial<TarFile> = {}): TarFile {
  return {
    path: path as ByteString,
    type: path.endsWith("/") ? "dir" : "file",
    linkTarget: "" as ByteString,
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: { sec: 1_000_000_000, nsec: 0 },
    size: change.bytes?.length ?? 0,
    xattrs: new Map(),
    major: 0,
    minor: 0,
    bytes: new Uint8Array(),
    ...change,
  };
}
