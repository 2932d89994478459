import { open } from "node:fs/promises";
import type { ByteString } from "../core/bytestring.ts";
import { displayText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import type { Mtime } from "../core/tree.ts";
import { type DebPart, decodeDeb } from "../formats/deb/archive.ts";
import { compressionOf } from "../formats/gzip/compression.ts";
import { decodeTar, decodeTarBytes } from "../formats/tar/decode.ts";
import type { TarMember } from "../formats/tar/member.ts";
import { decompress } from "./decompress.ts";
import { decompressXz } from "./xz.ts";

/** The largest package file that is read; Debian's largest are about 2 GB, and the file is held in memory. */
export const MAX_DEB_SIZE: number = 4 * 1024 ** 3 - 1;
/** control.tar decompressed: scripts, md5sums, the control file. */
export const MAX_CONTROL_SIZE: number = 64 * 1024 ** 2;
/** data.tar decompressed. */
export const MAX_DATA_SIZE: number = 32 * 1024 ** 3;

export type ControlMember = { readonly bytes: Uint8Array; readonly mode: number; readonly mtime: Mtime };

export type Deb = {
  /** By name, without "./": "control", "postinst", "md5sums"... */
  readonly controlMembers: ReadonlyMap<ByteString, ControlMember>;
  /** The package's files, named as in the package ("./usr/bin/x"). Each call reads them anew. */
  openData(): AsyncGenerator<TarMember, void, void>;
};

/**
 * Reads a Debian package from a file or from memory.
 * @throws AtomfsError "bad-data" if it is malformed or over a limit, "not-found" if there is no such file
 */
export async function readDeb(
  source: string | Uint8Array,
  options: { signal?: AbortSignal } = {},
): Promise<Deb> {
  const parts = decodeDeb(typeof source === "string" ? await readPackage(source) : source);
  const control = Buffer.concat(
    await Array.fromAsync(decompressPart(parts.control, MAX_CONTROL_SIZE, options.signal)),
  );
  return {
    controlMembers: controlMembersOf(control),
    openData: () => decodeTar(decompressPart(parts.data, MAX_DATA_SIZE, options.signal)),
  };
}

async function readPackage(path: string): Promise<Uint8Array> {
  const file = await open(path, "r").catch((error: unknown) => {
    throw new AtomfsError("not-found", `Cannot open Debian package ${path}`, { cause: error });
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new AtomfsError("bad-data", `Cannot read ${path}: it is not a regular file`);
    if (stat.size > MAX_DEB_SIZE) {
      throw new AtomfsError(
        "bad-data",
        `Cannot read Debian package ${path}: ${stat.size} bytes are over the limit of ${MAX_DEB_SIZE}`,
      );
    }
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function controlMembersOf(archive: Uint8Array): Map<ByteString, ControlMember> {
  const members = new Map<ByteString, ControlMember>();
  for (const { path, type, bytes, mode, mtime } of decodeTarBytes(archive)) {
    if (type === "dir") continue;
    const name = path.replace(/^(\.?\/)+/, "") as ByteString;
    if (type !== "file" || name === "" || name.includes("/"))
      throw new AtomfsError(
        "bad-data",
        `Cannot read Debian package: its control part holds ${displayText(path)}, which is no plain file at its top`,
      );
    if (members.has(name))
      throw new AtomfsError("bad-data", `Cannot read Debian package: two control files ${displayText(name)}`);
    members.set(name, { bytes, mode, mtime });
  }
  return members;
}

async function* decompressPart(
  part: DebPart,
  maxOutput: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  if (part.compression !== "none" && compressionOf(part.bytes) !== part.compression) {
    throw new AtomfsError(
      "bad-data",
      `Cannot read Debian package: ${displayText(part.name)} does not hold ${part.compression} data`,
    );
  }
  const decompressed =
    part.compression === "xz" ? decompressXz(part.bytes, signal) : decompress(slices(part.bytes), maxOutput);
  let size = 0;
  for await (const chunk of decompressed) {
    size += chunk.length;
    if (size > maxOutput)
      throw new AtomfsError(
        "bad-data",
        `Cannot read Debian package: ${displayText(part.name)} is longer than the limit of ${maxOutput} bytes`,
      );
    yield chunk;
  }
}

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  const SLICE = 1024 * 1024;
  for (let at = 0; at < bytes.length; at += SLICE) yield bytes.subarray(at, at + SLICE);
}
