import { type ByteString, displayText, fromBytes } from "../../core/bytestring.ts";

import { AtomfsError } from "../../core/errors.ts";

const MAX_BYTES = 256 * 1024 * 1024;

/** A line of `info/PKG.md5sums`. */
export type Md5Line = {
  /** Without the leading slash, as in the file. */
  readonly path: ByteString;
  /** 32 lowercase hex digits. */
  readonly md5: ByteString;
};

/** A line of `info/PKG.triggers`. */
export type TriggerLine = {
  readonly kind: "interest" | "activate";
  /** Whether the activating package waits until the trigger was processed. */
  readonly isAwaited: boolean;
  /** A path ("/usr/lib/x") or a name ("ldconfig"). */
  readonly trigger: ByteString;
};

/** Three lines of /var/lib/dpkg/diversions: whoever is not `package` gets `to` instead of `from`. */
export type Diversion = {
  readonly from: ByteString;
  readonly to: ByteString;
  /** undefined: a local diversion, for every package. */
  readonly package: ByteString | undefined;
};

/** A line of /var/lib/dpkg/statoverride; user and group as written, "#" + number for an id. */
export type StatOverride = {
  readonly user: ByteString;
  readonly group: ByteString;
  readonly mode: number;
  readonly path: ByteString;
};

/** A line of /var/lib/dpkg/triggers/File: a package's interest in a path. */
export type FileTrigger = {
  readonly path: ByteString;
  readonly package: ByteString;
  readonly isAwaited: boolean;
};

/** `info/PKG.list`: absolute paths in the order of the package, "/." for the root. @throws AtomfsError "bad-data" */
export function parseFileList(bytes: Uint8Array): ByteString[] {
  return lines(bytes, "file list").map((line) => {
    if (!line.startsWith("/")) throw bad("file list", line, "want an absolute path");
    return line;
  });
}

export function encodeFileList(paths: readonly ByteString[]): ByteString {
  return paths.map((path) => `${path}\n`).join("") as ByteString;
}

/** Lines as md5sum writes them: a leading backslash says that the name has escapes. @throws AtomfsError "bad-data" */
export function parseMd5sums(bytes: Uint8Array): Md5Line[] {
  return lines(bytes, "md5sums").map((line) => {
    const match = /^(\\?)([0-9a-f]{32}) [ *](.+)$/s.exec(line);
    if (match?.[2] === undefined || match[3] === undefined) throw bad("md5sums", line, "want MD5 and name");
    const name = match[1] === "\\" ? unescapeName(match[3], line) : match[3];
    return { md5: match[2] as ByteString, path: name.replace(/^\.?\/+/, "") as ByteString };
  });
}

/** A backslash alone is not escaped: debhelper undoes that, and dpkg reads names as they stand. */
export function encodeMd5sums(sums: readonly Md5Line[]): ByteString {
  return sums
    .map(({ md5, path }) => {
      if (!/[\n\r]/.test(path)) return `${md5}  ${path}\n`;
      const escaped = path.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
      return `\\${md5}  ${escaped}\n`;
    })
    .join("") as ByteString;
}

/** The `conffiles` file of a .deb (or `info/PKG.conffiles`, deb-conffiles(5)). @throws AtomfsError "bad-data" */
export function parseConffileList(bytes: Uint8Array): { path: ByteString; removeOnUpgrade: boolean }[] {
  const prefix = "remove-on-upgrade ";
  return lines(bytes, "conffiles")
    .map((line) => line.replace(/[ \t\r]+$/, "") as ByteString)
    .filter((line) => line !== "")
    .map((line) => {
      const removeOnUpgrade = line.startsWith(prefix);
      const path = (removeOnUpgrade ? line.slice(prefix.length).replace(/^[ \t]+/, "") : line) as ByteString;
      if (!path.startsWith("/")) throw bad("conffiles", line, "want an absolute path");
      return { path, removeOnUpgrade };
    });
}

/** `info/PKG.triggers` (deb-triggers(5)). @throws AtomfsError "bad-data" */
export function parseTriggers(bytes: Uint8Array): TriggerLine[] {
  const triggers: TriggerLine[] = [];
  for (const line of lines(bytes, "triggers")) {
    const text = line.replace(/[ \t\r]*(#.*)?$/s, "");
    if (text === "") continue;
    const match = /^[ \t]*(interest|activate)(-await|-noawait)?[ \t]+([^ \t]+)$/.exec(text);
    if (match?.[3] === undefined) throw bad("triggers", line, "unknown directive");
    triggers.push({
      kind: match[1] === "interest" ? "interest" : "activate",
      isAwaited: match[2] !== "-noawait",
      trigger: match[3] as ByteString,
    });
  }
  return triggers;
}

/** @throws AtomfsError "bad-data" */
export function parseDiversions(bytes: Uint8Array): Diversion[] {
  const all = lines(bytes, "diversions");
  const diversions: Diversion[] = [];
  for (let at = 0; at < all.length; at += 3) {
    const [from, to, owner] = all.slice(at, at + 3);
    if (from === undefined || to === undefined || owner === undefined) {
      throw bad("diversions", from ?? ("" as ByteString), "want three lines for each diversion");
    }
    if (!from.startsWith("/") || !to.startsWith("/")) throw bad("diversions", from, "want absolute paths");
    diversions.push({ from, to, package: owner === ":" ? undefined : owner });
  }
  return diversions;
}

/** @throws AtomfsError "bad-data" */
export function parseStatOverrides(bytes: Uint8Array): StatOverride[] {
  return lines(bytes, "statoverride").map((line) => {
    const match = /^([^ ]+) ([^ ]+) ([0-7]{1,5}) (\/.*)$/s.exec(line);
    if (match === null) throw bad("statoverride", line, "want user, group, octal mode and path");
    const [, user = "", group = "", mode = "", path = ""] = match;
    const bits = Number.parseInt(mode, 8);
    if (bits > 0o7777) throw bad("statoverride", line, "mode is too big");
    return { user: user as ByteString, group: group as ByteString, mode: bits, path: path as ByteString };
  });
}

/** @throws AtomfsError "bad-data" */
export function parseFileTriggers(bytes: Uint8Array): FileTrigger[] {
  const suffix = "/noawait";
  return lines(bytes, "triggers/File").map((line) => {
    const space = line.lastIndexOf(" ");
    const owner = line.slice(space + 1);
    const isAwaited = !owner.endsWith(suffix);
    const name = isAwaited ? owner : owner.slice(0, -suffix.length);
    if (space <= 0 || !line.startsWith("/") || name === "") {
      throw bad("triggers/File", line, "want path and package");
    }
    return { path: line.slice(0, space) as ByteString, package: name as ByteString, isAwaited };
  });
}

function unescapeName(name: string, line: ByteString): string {
  return name.replace(/\\(.?)/gs, (_, escaped: string) => {
    if (escaped === "\\") return "\\";
    if (escaped === "n") return "\n";
    if (escaped === "r") return "\r";
    throw bad("md5sums", line, "unknown escape");
  });
}

/** The lines of a file; empty ones are passed over. */
function lines(bytes: Uint8Array, what: string): ByteString[] {
  if (bytes.length > MAX_BYTES) throw bad(what, "" as ByteString, `more than ${MAX_BYTES} bytes`);
  if (bytes.includes(0)) throw bad(what, "" as ByteString, "it contains a NUL byte");
  return fromBytes(bytes)
    .split("\n")
    .filter((line) => line !== "") as ByteString[];
}

function bad(what: string, line: ByteString, why: string): AtomfsError {
  return new AtomfsError(
    "bad-data",
    `Cannot parse ${what} line "${displayText(line.slice(0, 80) as ByteString)}": ${why}`,
  );
}
