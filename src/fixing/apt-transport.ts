import { chownSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ByteString, toBytes } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { readFileBounded } from "../sys/files.ts";
import { run } from "../sys/process.ts";

export const APT_HELPER = "/usr/lib/apt/apt-helper";

/** A file-size limit below this would hit the small files that apt writes for itself. */
const LEAST_LIMIT = 64 * 1024;

export type DownloadOptions = {
  /** A longer answer is refused: nobody may fill the disk or the memory. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
};

/**
 * The bytes of a file of an archive. http and https go through apt's own methods, in apt's sandbox and with the
 * machine's proxy settings; file: and copy: are read directly. Nothing is known yet about what the bytes are worth.
 * @param base the archive's URI
 * @param path below it, as the archive names it (not percent-encoded)
 * @throws AtomfsError "unsupported" if it cannot be reached or has no such file, "untrusted" if it is too long
 */
export async function download(
  base: ByteString,
  path: ByteString,
  options: DownloadOptions,
): Promise<Buffer> {
  const scheme = base.slice(0, base.indexOf(":"));
  const where = `${base.replace(/\/+$/, "")}/${path}`;
  if (scheme === "file" || scheme === "copy") {
    const decoded = Buffer.from(base.replace(/^[a-z]+:(\/\/)?/, ""), "latin1").toString("utf8");
    return readLocal(`${decodePath(decoded)}/${toBytes(path).toString("utf8")}`, path, options.maxBytes);
  }
  if (scheme !== "http" && scheme !== "https") {
    throw new AtomfsError("unsupported", `Cannot use an apt source with the scheme "${scheme}"`, {
      hints: ["http, https, file and copy are understood"],
    });
  }
  const encodedPath = path.replace(/[^A-Za-z0-9/._:-]/g, encodeUnit);
  return await downloadByApt(`${where.slice(0, where.length - path.length)}${encodedPath}`, path, options);
}

async function downloadByApt(uri: string, path: ByteString, options: DownloadOptions): Promise<Buffer> {
  const directory = mkdtempSync(join(tmpdir(), "atomfs-download-"));
  try {
    const user = aptUser();
    if (user !== undefined) chownSync(directory, user, 0);
    const target = join(directory, "file");
    const limit = Math.max(options.maxBytes + 1, LEAST_LIMIT);
    const { code, stderr } = await run(
      [
        "prlimit",
        `--fsize=${limit}`,
        "--core=0",
        APT_HELPER,
        "-q",
        "-o",
        "Acquire::Retries=1",
        "download-file",
        uri,
        target,
      ],
      {
        env: { ...process.env, LC_ALL: "C" },
        okCodes: ANY_CODE,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
    );
    if (code !== 0) {
      const sizes = readdirSync(directory).map((name) => statSync(join(directory, name)).size);
      if (sizes.some((size) => size >= limit)) throw tooLong(path, options.maxBytes);
      throw new AtomfsError("unsupported", `Cannot download ${path}: ${lastError(stderr)}`, {
        hints: ["check the network, the proxy and the apt sources of this machine"],
      });
    }
    if (statSync(target).size > options.maxBytes) throw tooLong(path, options.maxBytes);
    return readFileBounded(target, options.maxBytes);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const ANY_CODE = Array.from({ length: 256 }, (_, code) => code);

function readLocal(file: string, path: ByteString, maxBytes: number): Buffer {
  let real: string;
  try {
    real = realpathSync(file);
  } catch (cause) {
    throw new AtomfsError("unsupported", `Cannot read ${path}: the archive has no such file`, { cause });
  }
  if (statSync(real).size > maxBytes) throw tooLong(path, maxBytes);
  return readFileBounded(real, maxBytes);
}

/** The unprivileged user of apt's download methods, who must be able to write the file. */
function aptUser(): number | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const uid = /^_apt:[^:]*:(\d+):/m.exec(readFileSync("/etc/passwd", "latin1"))?.[1];
  return uid === undefined ? undefined : Number(uid);
}

/** apt's last error line, without URIs: they can hold passwords. */
function lastError(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.startsWith("E: ") && line !== "E: Download Failed");
  const line = lines.at(-1)?.slice(3) ?? "apt-helper failed";
  return line.replace(/[a-z+]+:\/\/\S+/g, "URI").slice(0, 300);
}

function encodeUnit(unit: string): string {
  return `%${unit.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function decodePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function tooLong(path: ByteString, maxBytes: number): AtomfsError {
  return new AtomfsError("untrusted", `Cannot trust ${path}: it has more than ${maxBytes} bytes`);
}
