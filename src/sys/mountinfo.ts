import { readFileSync } from "node:fs";
import { fromText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";

/** One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)). Names are the bytes as latin1 text, unescaped. */
export type Mount = {
  readonly id: number;
  readonly parent: number;
  readonly major: number;
  readonly minor: number;
  /** The directory of the filesystem that is the root of this mount. */
  readonly root: string;
  readonly target: string;
  readonly options: readonly string[];
  readonly type: string;
  readonly source: string;
  /** Options of the filesystem, each "key" or "key=value"; overlay's layers are here. */
  readonly superOptions: readonly string[];
};

/** @param text the file as latin1. Later lines are mounted later. @throws AtomfsError "bad-data" */
export function parseMountinfo(text: string): Mount[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map(parseLine);
}

/** @param pid default: this process */
export function readMountinfo(pid?: number): Mount[] {
  return parseMountinfo(readFileSync(`/proc/${pid ?? "self"}/mountinfo`, "latin1"));
}

/**
 * This process's mounts at a directory and below it. Others are not parsed: a busy machine has thousands.
 * @param directory absolute, clean, without symlinks
 */
export function readMountsIn(directory: string): Mount[] {
  return mountsIn(readFileSync("/proc/self/mountinfo", "latin1"), directory);
}

/** @param text as for `parseMountinfo` */
export function mountsIn(text: string, directory: string): Mount[] {
  const target = fromText(directory);
  const written = ` ${escapeOctal(target)}`;
  return text
    .split("\n")
    .filter((line) => line.includes(written))
    .map(parseLine)
    .filter((mount) => mount.target === target || mount.target.startsWith(`${target}/`));
}

/**
 * The mount one meets at `target`: the last one there. Undefined if `target` is no mount point.
 * @param target text of this program, without symlinks on the way
 */
export function findMount(mounts: readonly Mount[], target: string): Mount | undefined {
  const bytes = fromText(target);
  return mounts.findLast((mount) => mount.target === bytes);
}

/** The value of `key=value` among the filesystem's options. */
export function superOption(mount: Mount, key: string): string | undefined {
  return mount.superOptions.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
}

function parseLine(line: string): Mount {
  const fields = line.split(" ");
  // Optional fields ("shared:1", ...) end with a single "-".
  const dash = fields.indexOf("-", 6);
  const [id, parent, device, root, target, options] = fields;
  const [type, source, superOptions] = dash < 0 ? [] : fields.slice(dash + 1);
  const [major, minor] = (device ?? "").split(":");
  if (
    root === undefined ||
    target === undefined ||
    options === undefined ||
    type === undefined ||
    source === undefined
  ) {
    throw badLine(line);
  }
  return {
    id: count(id, line),
    parent: count(parent, line),
    major: count(major, line),
    minor: count(minor, line),
    root: unescapeOctal(root),
    target: unescapeOctal(target),
    options: options.split(","),
    type: unescapeOctal(type),
    source: unescapeOctal(source),
    superOptions: splitOptions(superOptions ?? "").map(unescapeOctal),
  };
}

/** A comma inside a name is written as \054; SELinux contexts are quoted. */
function splitOptions(text: string): string[] {
  return text.match(/(?:"[^"]*"|[^,])+/g) ?? [];
}

/** Space, tab, newline and backslash are written as \040 \011 \012 \134. */
function escapeOctal(text: string): string {
  return text.replace(/[ \t\n\\]/g, (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function count(text: string | undefined, line: string): number {
  if (text === undefined || !/^\d{1,15}$/.test(text)) throw badLine(line);
  return Number(text);
}

function badLine(line: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot understand the mountinfo line "${line.slice(0, 200)}"`);
}
