import { expect, test } from "bun:test";
import { fromText } from "../../core/bytestring.ts";
import { parseRelease } from "./release.ts";

const HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const TEXT = `Origin: Debian
Suite: oldstable
Codename: bookworm
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Acquire-By-Hash: yes
No-Support-for-Architecture-all: Packages
Architectures: all amd64
Components: main contrib
MD5Sum:
 d41d8cd98f00b204e9800998ecf8427e 0 main/x
SHA256:
 ${HASH}        0 main/binary-amd64/Packages
 ${HASH} 9007199254740991 main/binary-amd64/Packages.xz
`;

test("reads what the chain needs", () => {
  const release = parseRelease(fromText(TEXT));
  expect(release).toMatchObject({
    origin: "Debian",
    suite: "oldstable",
    codename: "bookworm",
    architectures: ["all", "amd64"],
    components: ["main", "contrib"],
    acquireByHash: true,
    notAutomatic: false,
    separateAll: false,
  } as never);
  expect(release.date.toISOString()).toBe("2026-07-11T10:16:37.000Z");
  expect(release.validUntil?.toISOString()).toBe("2026-07-18T10:16:37.000Z");
  expect([...release.files.keys()].map(String)).toEqual([
    "main/binary-amd64/Packages",
    "main/binary-amd64/Packages.xz",
  ]);
  expect(release.files.get(fromText("main/binary-amd64/Packages.xz"))?.size).toBe(Number.MAX_SAFE_INTEGER);
  const separate = TEXT.replace("No-Support-for-Architecture-all: Packages\n", "");
  expect(parseRelease(fromText(separate)).separateAll).toBe(true);
});

test.each([
  ["no date", /^Date:.*\n/m, ""],
  ["a date in another zone", /UTC/, "CEST"],
  ["a date that is no date", /^Date:.*/m, "Date: tomorrow"],
  ["an unknown month", /Jul/, "Foo"],
  ["hour 25", / 10:16/, " 25:16"],
  ["no SHA256", /SHA256:.*$/s, ""],
  ["a short hash", new RegExp(HASH), HASH.slice(1)],
  ["a negative size", / {8}0 main/, " -1 main"],
  ["a size beyond exact numbers", /9007199254740991/, "9007199254740992"],
  ["a file without size", / {8}0 main/, " main"],
  ["a field twice", /^Suite:/m, "Origin: x\nSuite:"],
  ["two paragraphs", /^Suite:/m, "\nSuite:"],
])("refuses %s", (_, from, to) => {
  const changed = TEXT.replace(from, to);
  expect(changed).not.toBe(TEXT);
  expect(() => parseRelease(fromText(changed))).toThrow(/^Cannot /);
});
