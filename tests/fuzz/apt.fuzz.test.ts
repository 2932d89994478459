import { binaryKeyring } from "../../src/formats/apt/armor.ts";
import { checkClearSigned } from "../../src/formats/apt/clearsigned.ts";
import { findPackages, parsePackages } from "../../src/formats/apt/packages.ts";
import { parseRelease } from "../../src/formats/apt/release.ts";
import { parseDeb822Sources, parseOneLineSources } from "../../src/formats/apt/sources-list.ts";
import { fuzz } from "./harness.ts";

const HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const stanza = `Package: a\nSource: s (1)\nVersion: 1:2-3\nArchitecture: all\nFilename: pool/a.deb\nSize: 1\nSHA256: ${HASH}\n`;
const release = `Codename: x\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nArchitectures: all amd64\nSHA256:\n ${HASH} 1 main/Packages\n`;
const message = `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${release}-----BEGIN PGP SIGNATURE-----\n\nab\n-----END PGP SIGNATURE-----\n`;
const key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8=\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";

fuzz("apt Packages", [Buffer.from(`${stanza}\n${stanza}`)], (bytes) => {
  const query = { packages: new Set(["a"]), sources: new Set(["s"]) };
  for (const found of findPackages(bytes, query)) {
    if (found.filename.split("/").includes("..") || found.filename.startsWith("/"))
      throw new Error("escapes");
  }
  parsePackages(bytes);
});
fuzz("apt Release", [Buffer.from(release)], parseRelease);
fuzz(
  "apt one-line sources",
  [Buffer.from("deb [arch=amd64 signed-by=/a] file:/x y main # z\n")],
  parseOneLineSources,
);
fuzz(
  "apt deb822 sources",
  [
    Buffer.from(
      `Types: deb\nURIs: file:/a\nSuites: x\nComponents: main\nSigned-By:\n ${key.replace("\n\n", "\n.\n").trimEnd().replaceAll("\n", "\n ")}\n`,
    ),
  ],
  parseDeb822Sources,
);
fuzz("clear-signed frame", [Buffer.from(message)], (bytes) => {
  checkClearSigned(bytes);
  if (!Buffer.from(bytes).toString("latin1").startsWith("-----BEGIN PGP SIGNED MESSAGE-----")) {
    throw new Error("text before the message was accepted");
  }
});
fuzz("armored key", [Buffer.from(key)], binaryKeyring);
