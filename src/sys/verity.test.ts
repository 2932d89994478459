import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { parseVerityDigest } from "../core/digest.ts";
import { enableVerity, measureVerity, supportsVerity } from "./verity.ts";

/** `fsverity digest` of a file of 5 bytes "hello". */
const HELLO = parseVerityDigest("555b589c26ee43b7a2510e6c67ced9fb3190b6da6e9e683984551f5d77a763de");

test("the three functions agree on what the filesystem can", () => {
  const directory = mkdtempSync("/var/tmp/atomfs-verity-");
  try {
    const file = `${directory}/file`;
    writeFileSync(file, "hello");
    const supported = supportsVerity(directory);
    expect(measureVerity(file)).toBe(supported ? "off" : "unsupported");
    expect(enableVerity(file)).toBe(supported ? "on" : "unsupported");
    expect(measureVerity(file)).toBe(supported ? HELLO : "unsupported");
  } finally {
    rmSync(directory, { recursive: true });
  }
});
