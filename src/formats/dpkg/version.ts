import { type ByteString, displayText } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";

/** `[epoch:]upstream[-revision]` (deb-version(7)). No revision and revision "0" compare as equal. */
export type Version = {
  /** 0 to 2,147,483,647. */
  readonly epoch: number;
  readonly upstream: ByteString;
  readonly revision: ByteString;
};

const MAX_EPOCH = 2 ** 31 - 1;
const MAX_LENGTH = 4096;
const VERSION = /^[A-Za-z0-9.+~:-]+$/;

/** @throws AtomfsError "bad-data" if dpkg, too, would refuse it */
export function parseVersion(text: string): Version {
  const bad = (why: string): AtomfsError =>
    new AtomfsError(
      "bad-data",
      `Cannot parse Debian version "${displayText(text.slice(0, 80) as ByteString)}": ${why}`,
    );
  if (text.length > MAX_LENGTH) throw bad(`longer than ${MAX_LENGTH} bytes`);
  if (!VERSION.test(text)) throw bad(text === "" ? "empty" : "invalid character");
  const colon = text.indexOf(":");
  const epochText = text.slice(0, Math.max(0, colon));
  if (colon >= 0 && !/^[0-9]+$/.test(epochText)) throw bad("epoch is not a number");
  const epoch = Number(epochText);
  if (epoch > MAX_EPOCH) throw bad("epoch is too big");
  const rest = text.slice(colon + 1);
  const dash = rest.lastIndexOf("-");
  const upstream = dash < 0 ? rest : rest.slice(0, dash);
  const revision = dash < 0 ? "" : rest.slice(dash + 1);
  if (upstream === "") throw bad("nothing after the epoch");
  if (dash >= 0 && revision === "") throw bad("revision is empty");
  if (revision.includes(":")) throw bad("invalid character in revision");
  return { epoch, upstream: upstream as ByteString, revision: revision as ByteString };
}

/** As dpkg writes it into its database: without an epoch of 0, unless a colon in the upstream part needs it. */
export function formatVersion(version: Version): ByteString {
  const epoch = version.epoch !== 0 || version.upstream.includes(":") ? `${version.epoch}:` : "";
  const revision = version.revision === "" ? "" : `-${version.revision}`;
  return `${epoch}${version.upstream}${revision}` as ByteString;
}

/** dpkg's order: negative, 0 or positive. @throws AtomfsError "bad-data" if either is not a version */
export function compareVersions(a: string, b: string): number {
  if (a === b) return 0;
  const left = parseVersion(a);
  const right = parseVersion(b);
  return (
    left.epoch - right.epoch ||
    comparePart(left.upstream, right.upstream) ||
    comparePart(left.revision, right.revision)
  );
}

/** Runs of non-digits and runs of digits, in turn (deb-version(7), "Sorting algorithm"). */
function comparePart(a: string, b: string): number {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a, i)) || (j < b.length && !isDigit(b, j))) {
      const difference = weight(a, i) - weight(b, j);
      if (difference !== 0) return difference;
      i++;
      j++;
    }
    const left = digitsAt(a, i);
    const right = digitsAt(b, j);
    const difference = compareNumbers(left, right);
    if (difference !== 0) return difference;
    i += left.length;
    j += right.length;
  }
  return 0;
}

/** "~" before the end, the end (and a digit) before letters, letters before everything else. */
function weight(text: string, at: number): number {
  if (at >= text.length || isDigit(text, at)) return 0;
  const unit = text.charCodeAt(at);
  if (unit === 0x7e) return -1;
  const isLetter = (unit >= 0x41 && unit <= 0x5a) || (unit >= 0x61 && unit <= 0x7a);
  return isLetter ? unit : unit + 256;
}

function isDigit(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= 0x30 && unit <= 0x39;
}

function digitsAt(text: string, start: number): string {
  let end = start;
  while (end < text.length && isDigit(text, end)) end++;
  return text.slice(start, end);
}

/** Digit strings of any length, by value. */
function compareNumbers(a: string, b: string): number {
  const left = a.replace(/^0+/, "");
  const right = b.replace(/^0+/, "");
  return left.length - right.length || (left < right ? -1 : left > right ? 1 : 0);
}
