import { expect, test } from "bun:test";
import { judgeSignatures } from "./apt-trust.ts";

const PRINT = "ED541312A33F1128F10B1C6C54404762BBB6E853";
const PRIMARY = "AC530D520F2F3269F5E98313A48449044AAD5C5D";
const ANYONE: ReadonlySet<string> = new Set();

function status(...lines: string[]): string {
  return ["PLAINTEXT 74 0 ", ...lines].map((line) => `[GNUPG:] ${line}\n`).join("");
}

function valid(hash = "8"): string {
  return `VALIDSIG ${PRINT} 2026-11-21 1795222383 0 4 0 1 ${hash} 01 ${PRIMARY}`;
}

const GOOD = ["NEWSIG", "GOODSIG 54404762BBB6E853 Somebody", valid()] as const;

test("one good signature is enough, also beside one of an unknown key", () => {
  judgeSignatures(status(...GOOD), ANYONE);
  judgeSignatures(status("NEWSIG", "ERRSIG 1 1 8 01 1 9", "NO_PUBKEY 1", ...GOOD), ANYONE);
  for (const allowed of [PRINT, PRIMARY]) judgeSignatures(status(...GOOD), new Set([allowed]));
});

test.each([
  ["a bad signature, even beside a good one", "text was changed", status(...GOOD, "NEWSIG", "BADSIG 1 x")],
  ["a revoked key", "revoked", status("NEWSIG", "REVKEYSIG 1 x", valid())],
  ["an expired key", "key has expired", status("NEWSIG", "EXPKEYSIG 1 x", valid())],
  ["an expired signature", "signature has expired", status("NEWSIG", "EXPSIG 1 x", valid())],
  ["an unknown key", "unknown key", status("NEWSIG", "ERRSIG 1 1 8 01 1 9", "NO_PUBKEY 1")],
  ["SHA-1", "weak hash", status("NEWSIG", "GOODSIG 1 x", valid("2"))],
  ["GOODSIG alone", "weak hash", status("NEWSIG", "GOODSIG 1 x")],
  ["VALIDSIG alone", "no valid signature", status("NEWSIG", valid())],
  ["words of two signatures", "weak hash", status("NEWSIG", "GOODSIG 1 x", "NEWSIG", valid())],
  ["no signature", "no valid signature", status()],
  ["two messages", "not one signed message", status("PLAINTEXT 74 0 ", ...GOOD)],
  ["nothing", "not one signed message", ""],
  ["lines that are not gpgv's", "no valid signature", status() + GOOD.join("\n")],
])("refuses %s", (_, reason, text) => {
  expect(() => judgeSignatures(text, ANYONE)).toThrow(reason);
});

test("a good signature of a key that Signed-By does not name is refused", () => {
  expect(() => judgeSignatures(status(...GOOD), new Set(["0".repeat(40)]))).toThrow("another key");
});
