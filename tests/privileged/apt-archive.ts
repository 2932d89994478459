import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { run } from "../../src/sys/process.ts";

/** Keys of a test, in a GNUPGHOME of its own. */
export class Keys {
  readonly home: string = mkdtempSync(join(tmpdir(), "atomfs-gnupg-"));

  async #gpg(args: readonly string[], stdin?: Uint8Array): Promise<Buffer> {
    const options = {
      env: { ...process.env, GNUPGHOME: this.home },
      ...(stdin === undefined ? {} : { stdin }),
    };
    const quiet = ["--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""];
    return (await run(["gpg", ...quiet, ...args], options)).stdout;
  }

  async make(name: string, options: readonly string[] = [], expires = "never"): Promise<void> {
    await this.#gpg([...options, "--quick-generate-key", `${name}@example.org`, "ed25519", "sign", expires]);
  }

  async exportKey(name: string, form: "armored" | "binary"): Promise<Buffer> {
    return await this.#gpg([...(form === "armored" ? ["--armor"] : []), "--export", `${name}@example.org`]);
  }

  async clearSign(name: string, text: string, options: readonly string[] = []): Promise<Buffer> {
    return await this.#gpg(
      [...options, "--local-user", `${name}@example.org`, "--clear-sign"],
      Buffer.from(text, "latin1"),
    );
  }

  async fingerprint(name: string): Promise<string> {
    const listing = await this.#gpg(["--with-colons", "--list-keys", `${name}@example.org`]);
    return /^fpr:+([0-9A-F]{40}):/m.exec(listing.toString())?.[1] ?? "";
  }

  async close(): Promise<void> {
    const env = { ...process.env, GNUPGHOME: this.home };
    await run(["gpgconf", "--kill", "all"], { env });
    rmSync(this.home, { recursive: true, force: true });
  }
}

export type ArchiveOptions = {
  readonly date: Date;
  readonly validUntil?: Date;
  readonly codename?: string;
  readonly more?: string;
  readonly signer?: string;
  readonly signOptions?: readonly string[];
};

export const DEB: Buffer<ArrayBuffer> = Buffer.from(
  "!<arch>\nnot really a package, but nobody looks inside here\n",
);
export const DEB_PATH = "pool/main/e/expat/libexpat1_2.0+b~1_amd64.deb";

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The stanzas of the archive's only index: two versions of one package, of which the newer one has a .deb. */
export function packagesText(deb: Buffer = DEB): string {
  const stanza = (version: string, file: string): string =>
    `Package: libexpat1\nSource: expat\nVersion: ${version}\nArchitecture: amd64\nMulti-Arch: same\n` +
    `Depends: libc6 (>= 2.36)\nDescription: x\n y\nFilename: ${file}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`;
  return `${stanza("1.0", "pool/old.deb")}\n${stanza("2.0+b~1", DEB_PATH)}\n`;
}

/** Writes dists/<codename> and the pool of an archive below `root`, signed. */
export async function writeArchive(root: string, keys: Keys, options: ArchiveOptions): Promise<void> {
  const codename = options.codename ?? "bookworm";
  const indexes = join(root, "dists", codename, "main/binary-amd64");
  mkdirSync(indexes, { recursive: true });
  mkdirSync(join(root, DEB_PATH, ".."), { recursive: true });
  writeFileSync(join(root, DEB_PATH), DEB);
  const plain = Buffer.from(packagesText(), "latin1");
  const packed = gzipSync(plain);
  writeFileSync(join(indexes, "Packages.gz"), packed);
  const line = (bytes: Buffer, name: string): string =>
    ` ${sha256(bytes)} ${bytes.length} main/binary-amd64/${name}\n`;
  const until = options.validUntil === undefined ? "" : `Valid-Until: ${options.validUntil.toUTCString()}\n`;
  const text =
    `Origin: Test\nSuite: stable\nCodename: ${codename}\nDate: ${options.date.toUTCString()}\n${until}` +
    `Architectures: amd64\nComponents: main\n${options.more ?? ""}SHA256:\n${line(plain, "Packages")}${line(packed, "Packages.gz")}`;
  writeFileSync(join(root, "dists", codename, "Release"), text);
  const signed = await keys.clearSign(options.signer ?? "archive", text, options.signOptions);
  writeFileSync(join(root, "dists", codename, "InRelease"), signed);
}
