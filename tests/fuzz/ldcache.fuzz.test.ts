import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { fromText } from "../../src/core/bytestring.ts";
import { decodeLdCache, encodeLdCache } from "../../src/formats/ldcache/ldcache.ts";
import { fuzz } from "./harness.ts";

const small = encodeLdCache({
  entries: [
    {
      soname: fromText("liba.so.1"),
      path: fromText("/lib/liba.so.1"),
      flags: 0x303,
      legacyHwcap: 0n,
      hwcaps: undefined,
    },
    {
      soname: fromText("liba.so.1"),
      path: fromText("/lib/glibc-hwcaps/x86-64-v3/liba.so.1"),
      flags: 0x303,
      legacyHwcap: 0n,
      hwcaps: { name: fromText("x86-64-v3"), isaLevel: 2 },
    },
  ],
  generator: fromText("ldconfig"),
  littleEndian: true,
});

fuzz("decodeLdCache", [small, Uint8Array.from(readFileSync("/etc/ld.so.cache"))], (bytes) => {
  const decoded = decodeLdCache(bytes);
  // What can be read can be written, and says the same again.
  expect(decodeLdCache(encodeLdCache(decoded)).entries.length).toBe(decoded.entries.length);
});
