import { expect, test } from "bun:test";
import { binaryKeyring } from "./armor.ts";
import { checkClearSigned } from "./clearsigned.ts";

const MESSAGE = `-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

Origin: x
- -dash

more
-----BEGIN PGP SIGNATURE-----

abcd
=abcd
-----END PGP SIGNATURE-----
`;

test("one whole message is accepted, also with CRLF and blank lines after it", () => {
  checkClearSigned(Buffer.from(MESSAGE));
  checkClearSigned(Buffer.from(`${MESSAGE.replaceAll("\n", "\r\n")}\n\n`));
});

test.each([
  ["text before", `x\n${MESSAGE}`],
  ["a blank line before", `\n${MESSAGE}`],
  ["text after", `${MESSAGE}x\n`],
  ["two messages", MESSAGE + MESSAGE],
  ["a message inside", MESSAGE.replace("more", MESSAGE)],
  ["another header", MESSAGE.replace("\n\nOrigin", "\nOrigin: y\n\nOrigin")],
  ["a line that is not escaped", MESSAGE.replace("- -dash", "-dash")],
  ["no signature", MESSAGE.replace("-----BEGIN PGP SIGNATURE-----", "")],
  ["no end", MESSAGE.replace("-----END PGP SIGNATURE-----", "")],
  ["nothing", ""],
])("refuses %s", (_, text) => {
  expect(() => checkClearSigned(Buffer.from(text))).toThrow("Cannot trust");
});

const KEY = (base64: string): string =>
  `-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\n${base64}\n=AbC+\n-----END PGP PUBLIC KEY BLOCK-----\n`;

test("armored keys are decoded and joined, binary ones stay", () => {
  expect(Buffer.from(binaryKeyring(Buffer.from(`note\n${KEY("aGVs\nbG8=")}${KEY("IQ==")}`))).toString()).toBe(
    "hello!",
  );
  const binary = Uint8Array.of(0x99, 1, 2);
  expect(binaryKeyring(binary)).toBe(binary);
});

test.each([
  ["no end", KEY("aGVs").replace("-----END", "")],
  ["no blank line", KEY("aGVs").replace("\n\n", "\n")],
  ["damaged base64", KEY("a*Vs")],
])("refuses a key with %s", (_, text) => {
  expect(() => binaryKeyring(Buffer.from(text))).toThrow("public key block");
});
