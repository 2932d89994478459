import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBytes } from "../core/bytestring.ts";
import { AtomfsError } from "../core/errors.ts";
import { binaryKeyring } from "../formats/apt/armor.ts";
import { checkClearSigned } from "../formats/apt/clearsigned.ts";
import type { SignedBy } from "../formats/apt/sources-list.ts";
import { readFileBounded } from "../sys/files.ts";
import { run } from "../sys/process.ts";

const MAX_KEYRING = 16 * 1024 * 1024;
const MAX_TEXT = 32 * 1024 * 1024;
/** OpenPGP numbers of SHA-256, SHA-384 and SHA-512 (RFC 4880, section 9.4); older ones can be forged. */
const STRONG_HASHES: ReadonlySet<string> = new Set(["8", "9", "10"]);

type Signature = { words: Set<string>; fingerprints: string[]; hash: string | undefined };

/**
 * Checks a clear-signed file with gpgv and returns exactly the text that is signed, as gpgv gives it.
 * One good signature of a key in the keyring is enough (archives sign with several); a bad one spoils all.
 * @param aptRoot where paths of keyrings begin: "/" for this machine
 * @throws AtomfsError "untrusted"
 */
export async function verifyClearSigned(
  bytes: Uint8Array,
  signedBy: SignedBy,
  options: { readonly aptRoot: string; readonly signal?: AbortSignal | undefined },
): Promise<Buffer> {
  checkClearSigned(bytes);
  const directory = mkdtempSync(join(tmpdir(), "atomfs-gpgv-"));
  try {
    const keyrings = readKeyrings(signedBy, options.aptRoot).map((keyring, index) => {
      const file = join(directory, `${index}.gpg`);
      writeFileSync(file, keyring, { mode: 0o600 });
      return ["--keyring", file];
    });
    if (keyrings.length === 0) throw untrusted("this machine has no keyring for it");
    const signed = join(directory, "signed");
    const text = join(directory, "text");
    writeFileSync(signed, bytes, { mode: 0o600 });
    const { stdout } = await run(["gpgv", "--status-fd", "1", ...keyrings.flat(), "--output", text, signed], {
      env: { ...process.env, LC_ALL: "C", GNUPGHOME: directory },
      okCodes: [0, 1, 2],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const fingerprints = signedBy.kind === "keys" && signedBy.paths.length === 0 ? signedBy.fingerprints : [];
    judgeSignatures(stdout.toString("latin1"), new Set(fingerprints));
    return readFileBounded(text, MAX_TEXT);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Reads what gpgv says for machines (GnuPG's doc/DETAILS, "--status-fd").
 * @param allowed fingerprints of keys or primary keys; empty: any key of the keyring
 * @throws AtomfsError "untrusted"
 */
export function judgeSignatures(status: string, allowed: ReadonlySet<string>): void {
  const signatures: Signature[] = [];
  let messages = 0;
  for (const line of status.split("\n")) {
    const [prefix, word = "", ...rest] = line.split(" ");
    if (prefix !== "[GNUPG:]") continue;
    if (word === "PLAINTEXT") messages++;
    if (word === "NEWSIG") signatures.push({ words: new Set(), fingerprints: [], hash: undefined });
    const signature = signatures.at(-1);
    signature?.words.add(word);
    if (word !== "VALIDSIG" || signature === undefined) continue;
    signature.fingerprints = [rest[0], rest[9]].filter((each) => each !== undefined);
    signature.hash = rest[7];
  }
  const all = new Set(signatures.flatMap((each) => [...each.words]));
  if (messages !== 1) throw untrusted("it is not one signed message");
  if (all.has("BADSIG")) throw untrusted("its signature is wrong: the text was changed");
  const isGood = (each: Signature): boolean =>
    each.words.has("GOODSIG") && each.words.has("VALIDSIG") && STRONG_HASHES.has(each.hash ?? "");
  const good = signatures.filter(isGood);
  if (good.some((each) => allowed.size === 0 || each.fingerprints.some((print) => allowed.has(print))))
    return;
  if (good.length > 0) throw untrusted("it is signed by another key than Signed-By allows");
  if (all.has("REVKEYSIG")) throw untrusted("its key was revoked");
  if (all.has("EXPKEYSIG")) throw untrusted("its key has expired");
  if (all.has("EXPSIG")) throw untrusted("its signature has expired");
  if (all.has("GOODSIG")) throw untrusted("its signature uses a weak hash");
  if (all.has("NO_PUBKEY")) throw untrusted("it is signed by an unknown key");
  throw untrusted("it has no valid signature");
}

function readKeyrings(signedBy: SignedBy, aptRoot: string): Uint8Array[] {
  if (signedBy.kind === "embedded") return [binaryKeyring(toBytes(signedBy.armored))];
  if (signedBy.kind === "machine" || signedBy.paths.length === 0) {
    return machineKeyrings(aptRoot).map(readKeyring);
  }
  return signedBy.paths.map((path) => {
    const file = join(aptRoot, toBytes(path).toString("utf8"));
    if (!existsSync(file)) throw untrusted(`its keyring ${file} does not exist`);
    return readKeyring(file);
  });
}

/** Keyrings are often symlinks to those of a package. */
function readKeyring(path: string): Uint8Array {
  return binaryKeyring(readFileBounded(realpathSync(path), MAX_KEYRING));
}

function machineKeyrings(aptRoot: string): string[] {
  const directory = join(aptRoot, "etc/apt/trusted.gpg.d");
  const names = existsSync(directory) ? readdirSync(directory).sort() : [];
  return [
    join(aptRoot, "etc/apt/trusted.gpg"),
    ...names.filter((name) => /\.(gpg|asc)$/.test(name)).map((name) => join(directory, name)),
  ].filter((path) => existsSync(path));
}

function untrusted(why: string): AtomfsError {
  return new AtomfsError("untrusted", `Cannot trust signed file: ${why}`);
}
