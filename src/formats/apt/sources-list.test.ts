import { expect, test } from "bun:test";
import { parseDeb822Sources, parseOneLineSources } from "./sources-list.ts";

const KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

test("one-line entries", () => {
  const text = `# deb file:/a no main
deb-src file:/a bookworm main
deb  [ arch=amd64,arm64 signed-by=/k/a.gpg,/k/b.asc trusted=yes ]  file:/a bookworm main contrib # why

deb file:/flat ./
deb [signed-by=0123456789abcdef0123456789abcdef01234567!] file:/a x main
`;
  const entries = parseOneLineSources(Buffer.from(text));
  expect(entries).toEqual([
    {
      uri: "file:/a",
      suite: "bookworm",
      components: ["main", "contrib"],
      architectures: ["amd64", "arm64"],
      signedBy: { kind: "keys", paths: ["/k/a.gpg", "/k/b.asc"], fingerprints: [] },
      asksForBlindTrust: true,
    },
    {
      uri: "file:/flat",
      suite: "./",
      components: [],
      architectures: undefined,
      signedBy: { kind: "machine" },
      asksForBlindTrust: false,
    },
    {
      uri: "file:/a",
      suite: "x",
      components: ["main"],
      architectures: undefined,
      signedBy: { kind: "keys", paths: [], fingerprints: ["0123456789ABCDEF0123456789ABCDEF01234567"] },
      asksForBlindTrust: false,
    },
  ] as never);
});

test("deb822 entries: every URI with every suite, disabled ones left out, keys written in", () => {
  const text = `Types: deb deb-src
# a comment
URIs: file:/a file:/b
Suites: x y
Components: main
Architectures: amd64
Trusted: yes
Signed-By:
 ${KEY}
 .
 abcd
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: file:/c
Suites: z
Components: main

Types: deb-src
URIs: file:/c
Suites: z
Components: main
`;
  const entries = parseDeb822Sources(Buffer.from(text));
  expect(entries.map((each) => `${each.uri} ${each.suite}`)).toEqual([
    "file:/a x",
    "file:/a y",
    "file:/b x",
    "file:/b y",
  ]);
  expect(entries[0]).toMatchObject({
    architectures: ["amd64"],
    asksForBlindTrust: true,
    signedBy: { kind: "embedded", armored: `${KEY}\n\nabcd\n-----END PGP PUBLIC KEY BLOCK-----` },
  } as never);
});

test.each([
  "deb file:/a",
  "rpm file:/a x main",
  "deb nowhere x main",
  "deb file:/a x",
  "deb file:/a x/ main",
  "deb file:/a ../../x main",
  "deb file:/a x ../main",
  "deb [arch+=i386] file:/a x main",
  "deb [signed-by=key.gpg] file:/a x main",
  "deb [trusted=yes file:/a x main",
])("refuses %p", (line) => {
  expect(() => parseOneLineSources(Buffer.from(line))).toThrow("Cannot parse apt sources");
});

test.each(["Types: deb\nSuites: x\nComponents: main\n", "URIs: file:/a\nSuites: x\n", "nonsense\n"])(
  "refuses %p",
  (text) => {
    expect(() => parseDeb822Sources(Buffer.from(text))).toThrow(/^Cannot /);
  },
);
