import { fromBytes } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";

const BEGIN_MESSAGE = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE = "-----END PGP SIGNATURE-----";

/**
 * Refuses a file that is anything but one clear-signed message (RFC 4880, section 7): text before, between or after
 * would not be covered by the signature, and a reader of the file could take it for signed. Says nothing about the
 * signature itself.
 * @throws AtomfsError "untrusted"
 */
export function checkClearSigned(bytes: Uint8Array): void {
  const lines = fromBytes(bytes)
    .split("\n")
    .map((line) => line.replace(/[ \t\r]+$/, ""));
  while (lines.at(-1) === "") lines.pop();
  if (lines[0] !== BEGIN_MESSAGE) throw untrusted("it does not begin as a signed message");
  if (lines.at(-1) !== END_SIGNATURE) throw untrusted("it does not end with a signature");
  const textStart = lines.indexOf("");
  if (textStart < 0 || !lines.slice(1, textStart).every((line) => line.startsWith("Hash: "))) {
    throw untrusted("it has other armor headers than Hash");
  }
  const signatureStart = lines.indexOf(BEGIN_SIGNATURE);
  if (signatureStart < textStart) throw untrusted("it has no signature");
  const isOpen = (line: string): boolean => line.startsWith("-") && !line.startsWith("- ");
  if (lines.slice(textStart, signatureStart).some(isOpen)) throw untrusted("a line is not dash-escaped");
  if (lines.slice(signatureStart + 1, -1).some((line) => line.startsWith("-"))) {
    throw untrusted("it has more than one signature block");
  }
}

function untrusted(why: string): AtomfsError {
  return new AtomfsError("untrusted", `Cannot trust signed file: ${why}`);
}
