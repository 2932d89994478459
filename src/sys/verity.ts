import { constants, openSync } from "node:fs";
import { parseVerityDigest, type VerityDigest } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import { Fd, openNoFollow } from "./fd.ts";
import { type Path, rawSyscall, showPath, syscallError } from "./ffi.ts";

/** include/uapi/linux/fsverity.h */
const FS_IOC_ENABLE_VERITY = 0x40806685;
const FS_IOC_MEASURE_VERITY = 0xc0046686;
const SHA256 = 1;
const BLOCK_SIZE = 4096;
const ENODATA = 61;
const EEXIST = 17;
/** ENOTTY: the filesystem never heard of it; EOPNOTSUPP: the kernel or this filesystem is made without. */
const UNSUPPORTED: readonly number[] = [25, 95];

/** Digests are SHA-256 over 4096-byte blocks without salt, as the names of objects. */
export type VerityAnswer = VerityDigest | "off" | "unsupported";

/** What the kernel itself vouches for. "off": the file has no fs-verity, "unsupported": the filesystem has none. */
export function measureVerity(path: Path): VerityAnswer {
  using file = openNoFollow(path, constants.O_RDONLY);
  const answer = Buffer.alloc(4 + 64);
  answer.writeUInt16LE(64, 2);
  const result = rawSyscall("ioctl", file.number, FS_IOC_MEASURE_VERITY, answer);
  if (result === -ENODATA) return "off";
  if (UNSUPPORTED.includes(-result)) return "unsupported";
  if (result < 0) throw syscallError(-result, `measure ${showPath(path)}`);
  const algorithm = answer.readUInt16LE(0);
  if (algorithm !== SHA256) {
    throw new AtomfsError(
      "bad-data",
      `${showPath(path)} has fs-verity of algorithm ${algorithm}, want SHA-256`,
    );
  }
  return parseVerityDigest(answer.subarray(4, 36).toString("hex"));
}

/** Makes the file's content unchangeable for good. The file must not be open for writing anywhere. */
export function enableVerity(path: Path): "on" | "unsupported" {
  using file = openNoFollow(path, constants.O_RDONLY);
  return enableOn(file, path);
}

function enableOn(file: Fd, path: Path): "on" | "unsupported" {
  const argument = Buffer.alloc(128);
  argument.writeUInt32LE(1, 0);
  argument.writeUInt32LE(SHA256, 4);
  argument.writeUInt32LE(BLOCK_SIZE, 8);
  const result = rawSyscall("ioctl", file.number, FS_IOC_ENABLE_VERITY, argument);
  if (result === 0 || result === -EEXIST) return "on";
  if (UNSUPPORTED.includes(-result)) return "unsupported";
  throw syscallError(-result, `enable fs-verity on ${showPath(path)}`);
}

/** Tries it on an unnamed file of the directory's filesystem, by way of a read-only descriptor of the same file. */
export function supportsVerity(directory: string): boolean {
  const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
  const writable = new Fd(openSync(directory, constants.O_RDWR | O_TMPFILE, 0o600));
  using readOnly = reopenForReading(writable);
  return enableOn(readOnly, directory) === "on";
}

function reopenForReading(writable: Fd): Fd {
  using _ = writable;
  return new Fd(openSync(writable.procPath, constants.O_RDONLY));
}
