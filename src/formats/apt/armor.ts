import { type ByteString, fromBytes } from "../../core/bytestring.ts";
import { AtomfsError } from "../../core/errors.ts";

const BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END = "-----END PGP PUBLIC KEY BLOCK-----";
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * The binary form of a keyring, as gpgv wants it: armored blocks (RFC 4880, section 6.2) are decoded and put one after
 * the other, a binary keyring stays what it is. The armor's CRC is not checked: a broken key verifies nothing.
 * @throws AtomfsError "bad-data"
 */
export function binaryKeyring(file: Uint8Array): Uint8Array {
  if (file.length > MAX_BYTES) throw bad(`more than ${MAX_BYTES} bytes`);
  const text = fromBytes(file);
  if (!text.includes(BEGIN)) return file;
  const blocks: Buffer[] = [];
  for (let at = text.indexOf(BEGIN); at >= 0; at = text.indexOf(BEGIN, at + 1)) {
    const end = text.indexOf(END, at);
    if (end < 0) throw bad("it has no end");
    blocks.push(decodeBlock(text.slice(at + BEGIN.length, end) as ByteString));
  }
  return Buffer.concat(blocks);
}

/** Header lines, a blank line, base64 lines, "=" and a CRC. */
function decodeBlock(block: ByteString): Buffer {
  const lines = block.split("\n").map((line) => line.replace(/[ \t\r]+$/, "").replace(/^[ \t]+/, ""));
  const blank = lines.indexOf("", 1);
  const body = lines.slice(blank + 1).filter((line) => line !== "" && !/^=[A-Za-z0-9+/]{4}$/.test(line));
  const base64 = body.join("");
  if (blank < 0 || base64 === "" || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64))
    throw bad("its base64 is damaged");
  return Buffer.from(base64, "base64");
}

function bad(why: string): AtomfsError {
  return new AtomfsError("bad-data", `Cannot use public key block: ${why}`);
}
