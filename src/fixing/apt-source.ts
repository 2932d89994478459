import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type ByteString, displayText } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { parseRelease, type Release, type ReleaseFile } from "../formats/apt/release.ts";
import { parseDeb822Sources, parseOneLineSources, type SourceEntry } from "../formats/apt/sources-list.ts";
import { readFileBounded, writeAtomic } from "../sys/files.ts";
import { run } from "../sys/process.ts";
import { type AptCache, checkFile } from "./apt-cache.ts";
import { APT_HELPER, download } from "./apt-transport.ts";
import { verifyClearSigned } from "./apt-trust.ts";

/** As apt's own limit is 10 MB; Debian's largest has 200 KB. */
const MAX_RELEASE = 10 * 1024 * 1024;
const MAX_SOURCES = 1024 * 1024;
/** Clocks of machines and archives differ by seconds, not by hours. */
const CLOCK_SKEW_MS = 10 * 60 * 1000;

export type SourceContext = {
  readonly aptRoot: string;
  readonly cache: AptCache;
  readonly now: Date;
  readonly signal: AbortSignal | undefined;
};

/** The `deb` entries of a machine, in apt's order. @throws AtomfsError "bad-data" */
export function readSources(aptRoot: string): SourceEntry[] {
  const apt = join(aptRoot, "etc/apt");
  const parts = join(apt, "sources.list.d");
  const names = existsSync(parts) ? readdirSync(parts).sort() : [];
  const files = [join(apt, "sources.list"), ...names.map((name) => join(parts, name))];
  return files.flatMap((file) => {
    if (!existsSync(file)) return [];
    if (file.endsWith(".list")) return parseOneLineSources(readFileBounded(realpathSync(file), MAX_SOURCES));
    if (file.endsWith(".sources"))
      return parseDeb822Sources(readFileBounded(realpathSync(file), MAX_SOURCES));
    return [];
  });
}

/** "bookworm-security of http://host/debian-security", for messages; a password in the URI is left out. */
export function describeSource(entry: SourceEntry): string {
  return displayText(`${entry.suite} of ${entry.uri.replace(/\/\/[^/]*@/, "//")}` as ByteString);
}

/**
 * Fetches InRelease and believes it only if its signature holds, it is for this suite, it is neither out of date nor
 * from the future, and it is not older than the one that was believed before. `isWanted` false: nothing more is asked
 * of it and it is not remembered.
 * @throws AtomfsError "unsupported" if it cannot be fetched, "untrusted", "bad-data"
 */
export async function fetchRelease(
  entry: SourceEntry,
  context: SourceContext,
  isWanted: (release: Release) => boolean,
): Promise<Release | undefined> {
  const path = `${releaseDirectory(entry)}InRelease` as ByteString;
  const bytes = await fetchInRelease(entry, path, context.signal);
  const text = await verifyClearSigned(bytes, entry.signedBy, context);
  const release = parseRelease(text);
  if (!entry.suite.endsWith("/") && entry.suite !== release.codename && entry.suite !== release.suite) {
    const names = [release.codename, release.suite].filter((name) => name !== undefined).join(", ");
    throw untrusted(`it is for ${displayText(names as ByteString)}, not for the suite that was asked for`);
  }
  if (!isWanted(release)) return undefined;
  checkDates(release, context.now);
  const key = createHash("sha256")
    .update(`${entry.uri.replace(/\/+$/, "")} ${entry.suite}`, "latin1")
    .digest("hex");
  const before = context.cache.readRelease(key);
  const newest = before === undefined ? undefined : parseRelease(before).date;
  if (newest !== undefined && release.date < newest) {
    throw untrusted(
      `it is of ${release.date.toISOString()}, but one of ${newest.toISOString()} was seen here before (rollback?)`,
    );
  }
  if (before === undefined || !before.equals(text)) context.cache.writeRelease(key, text);
  return release;
}

/**
 * The uncompressed index (a `Packages` path of the Release file), from the cache or fetched, verified either way.
 * @returns undefined if the archive has no such index
 */
export async function fetchIndex(
  entry: SourceEntry,
  release: Release,
  path: ByteString,
  context: SourceContext,
): Promise<ReleaseFile | undefined> {
  const variants = [".xz", ".gz", ""].map((suffix) => ({ suffix, name: `${path}${suffix}` as ByteString }));
  const plain = release.files.get(path);
  const offered = variants.find((each) => release.files.has(each.name));
  const file = offered === undefined ? undefined : release.files.get(offered.name);
  if (offered === undefined || file === undefined) return undefined;
  if (plain === undefined) {
    throw new AtomfsError(
      "bad-data",
      `Cannot use ${path}: the Release file lacks the uncompressed file's hash`,
    );
  }
  if (context.cache.read("indexes", plain) !== undefined) return plain;
  const bytes = await fetchByHash(entry, release, offered.name, file, context.signal);
  checkFile(bytes, file, offered.name);
  const unpacked = await decompress(bytes, offered.suffix, plain, context.signal);
  context.cache.write("indexes", plain, unpacked, path);
  return plain;
}

/** The directory of Release and indexes below the URI, with a slash at its end or empty. */
export function releaseDirectory(entry: SourceEntry): string {
  if (!entry.suite.endsWith("/")) return `dists/${entry.suite}/`;
  return entry.suite.replace(/^(\.?\/)+/, "");
}

async function fetchInRelease(
  entry: SourceEntry,
  path: ByteString,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  try {
    return await download(entry.uri, path, { maxBytes: MAX_RELEASE, signal });
  } catch (error) {
    if (!(error instanceof AtomfsError) || error.kind !== "unsupported") throw error;
    const unsigned = path.replace(/InRelease$/, "Release") as ByteString;
    const exists = await download(entry.uri, unsigned, { maxBytes: MAX_RELEASE, signal }).then(
      () => true,
      () => false,
    );
    if (exists) throw untrusted("the archive has a Release file, but no signed InRelease");
    throw error;
  }
}

function checkDates(release: Release, now: Date): void {
  if (release.date.getTime() > now.getTime() + CLOCK_SKEW_MS) {
    throw untrusted(
      `its date ${release.date.toISOString()} is in the future; is this machine's clock right?`,
    );
  }
  if (release.validUntil !== undefined && release.validUntil.getTime() < now.getTime()) {
    throw untrusted(`it was valid until ${release.validUntil.toISOString()} (an old copy, or a dead mirror)`);
  }
}

/** By hash where the archive has that: no race with an update of the mirror. */
async function fetchByHash(
  entry: SourceEntry,
  release: Release,
  name: ByteString,
  file: ReleaseFile,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const directory = releaseDirectory(entry);
  const options = { maxBytes: file.size, signal };
  if (release.acquireByHash) {
    const parent = name.slice(0, name.lastIndexOf("/") + 1);
    const byHash = `${directory}${parent}by-hash/SHA256/${file.sha256}` as ByteString;
    try {
      return await download(entry.uri, byHash, options);
    } catch (error) {
      if (!(error instanceof AtomfsError) || error.kind !== "unsupported") throw error;
    }
  }
  return await download(entry.uri, `${directory}${name}` as ByteString, options);
}

async function decompress(
  bytes: Buffer,
  suffix: string,
  plain: ReleaseFile,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  if (suffix === "") return bytes;
  if (suffix === ".gz") {
    try {
      return gunzipSync(bytes, { maxOutputLength: Math.max(1, plain.size) });
    } catch (cause) {
      throw new AtomfsError("untrusted", "Cannot trust index: it does not unpack to its signed size", {
        cause,
      });
    }
  }
  const directory = mkdtempSync(join(tmpdir(), "atomfs-index-"));
  try {
    const file = join(directory, `Packages${suffix}`);
    writeAtomic(file, bytes, { mode: 0o600 });
    const argv = [APT_HELPER, "cat-file", file] as const;
    return (await run(argv, signal === undefined ? {} : { signal })).stdout;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function untrusted(why: string): AtomfsError {
  return new AtomfsError("untrusted", `Cannot trust InRelease: ${why}`);
}
