import { createHash } from "node:crypto";
import {
  constants,
  fchmodSync,
  fsyncSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { Fd, openNoFollow } from "../../sys/fd.ts";
import { hasCode } from "../../sys/ffi.ts";
import { copyOrReflink, fsyncDirectory, writeAll } from "../../sys/files.ts";
import type { SetupFile } from "./files.ts";
import type { Fingerprint } from "./record.ts";

const CHUNK = 1 << 20;

/** Undefined if nothing is there. */
export function fingerprintOf(path: string): Fingerprint | undefined {
  const stat = lstatIfThere(path);
  if (stat === undefined) return undefined;
  if (stat.isSymbolicLink()) return linkFingerprint(readlinkSync(path));
  return stat.isFile() ? fileFingerprint(path) : "neither file nor link";
}

/** A path below something that is no directory is absent, too. */
function lstatIfThere(path: string): ReturnType<typeof lstatSync> {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (hasCode(error, "ENOTDIR")) return undefined;
    throw error;
  }
}

/** What a file that is to be made will have. */
export function wantedFingerprint(file: SetupFile): Fingerprint {
  switch (file.kind) {
    case "link":
      return linkFingerprint(file.target);
    case "program":
      return fileFingerprint(file.source);
    case "text":
    case "settings":
      return `sha256:${createHash("sha256").update(file.text).digest("hex")}`;
  }
}

function linkFingerprint(target: string): Fingerprint {
  return `link:${target}`;
}

function fileFingerprint(path: string): Fingerprint {
  using file = openNoFollow(path, constants.O_RDONLY);
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(CHUNK);
  for (;;) {
    const got = readSync(file.number, buffer, 0, CHUNK, null);
    if (got === 0) return `sha256:${hash.digest("hex")}`;
    hash.update(buffer.subarray(0, got));
  }
}

/** Of a file that is being made: one name for each, so that what a killed install left is met again. */
export function unfinishedPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.atomfs-install`);
}

/** Puts a whole file in place of whatever has its name. @param target the file's path below the directory that is installed to */
export function placeFile(file: SetupFile, target: string): void {
  const temporary = unfinishedPath(target);
  rmSync(temporary, { force: true });
  if (file.kind === "link") symlinkSync(file.target, temporary);
  else fill(file, temporary);
  renameSync(temporary, target);
  fsyncDirectory(dirname(target));
}

export function placeText(text: string, target: string): void {
  placeFile({ kind: "text", path: target, text }, target);
}

function fill(file: Exclude<SetupFile, { kind: "link" }>, temporary: string): void {
  using target = new Fd(openSync(temporary, "wx", 0o600));
  if (file.kind === "program") {
    using source = openNoFollow(file.source, constants.O_RDONLY);
    copyOrReflink(source.number, target.number, lstatSync(file.source).size, temporary);
    fchmodSync(target.number, 0o755);
  } else {
    writeAll(target.number, Buffer.from(file.text));
    fchmodSync(target.number, 0o644);
  }
  fsyncSync(target.number);
}
