import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { fromBytes } from "../../core/bytestring.ts";
import * as lists from "./lists.ts";

const INFO = "/var/lib/dpkg/info";

function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

test("file lists and md5sums of this machine come back byte for byte", () => {
  const names = readdirSync(INFO);
  for (const name of names.filter((each) => each.endsWith(".list"))) {
    const file = readFileSync(`${INFO}/${name}`);
    expect(lists.encodeFileList(lists.parseFileList(file))).toBe(fromBytes(file));
  }
  const sums = names.filter((each) => each.endsWith(".md5sums"));
  expect(sums.length).toBeGreaterThan(100);
  for (const name of sums) {
    const file = readFileSync(`${INFO}/${name}`);
    expect(lists.encodeMd5sums(lists.parseMd5sums(file))).toBe(fromBytes(file));
  }
  for (const name of names.filter((each) => each.endsWith(".triggers"))) {
    lists.parseTriggers(readFileSync(`${INFO}/${name}`));
  }
  lists.parseDiversions(readFileSync("/var/lib/dpkg/diversions"));
  lists.parseStatOverrides(readFileSync("/var/lib/dpkg/statoverride"));
  lists.parseFileTriggers(readFileSync("/var/lib/dpkg/triggers/File"));
});

test("md5sums escapes", () => {
  const md5 = "0123456789abcdef0123456789abcdef";
  const file = bytes(`\\${md5}  usr/a\\\\b\\nc\n${md5}  usr/\u00c3\u00a0 d\n`);
  const parsed = lists.parseMd5sums(file);
  expect(parsed.map((each) => each.path as string)).toEqual(["usr/a\\b\nc", "usr/\u00c3\u00a0 d"]);
  expect(lists.encodeMd5sums(parsed)).toBe(fromBytes(file));
});

test("triggers", () => {
  const parsed = lists.parseTriggers(
    bytes("# c\ninterest /usr/x # why\n\ninterest-noawait y\nactivate-await z\nactivate ldconfig\n"),
  );
  expect(parsed.map((each) => `${each.kind} ${each.isAwaited} ${each.trigger}`)).toEqual([
    "interest true /usr/x",
    "interest false y",
    "activate true z",
    "activate true ldconfig",
  ]);
});

test("diversions, overrides, conffiles and file triggers", () => {
  expect(lists.parseDiversions(bytes("/a\n/a.d\n:\n/b\n/b.d\npkg\n"))).toEqual([
    { from: "/a", to: "/a.d", package: undefined },
    { from: "/b", to: "/b.d", package: "pkg" },
  ] as never);
  expect(lists.parseStatOverrides(bytes("root #12 4755 /bin/a b\n"))).toEqual([
    { user: "root", group: "#12", mode: 0o4755, path: "/bin/a b" },
  ] as never);
  expect(lists.parseConffileList(bytes("/etc/a b\nremove-on-upgrade /etc/c\n"))).toEqual([
    { path: "/etc/a b", removeOnUpgrade: false },
    { path: "/etc/c", removeOnUpgrade: true },
  ] as never);
  expect(lists.parseFileTriggers(bytes("/a b c\n/d e/noawait\n"))).toEqual([
    { path: "/a b", package: "c", isAwaited: true },
    { path: "/d", package: "e", isAwaited: false },
  ] as never);
});

test.each([
  ["relative list path", () => lists.parseFileList(bytes("usr/x\n"))],
  ["short md5", () => lists.parseMd5sums(bytes("0123  usr/x\n"))],
  ["unknown escape", () => lists.parseMd5sums(bytes(`\\${"0".repeat(32)}  a\\q\n`))],
  ["unknown trigger", () => lists.parseTriggers(bytes("explode x\n"))],
  ["two-line diversion", () => lists.parseDiversions(bytes("/a\n/b\n"))],
  ["relative diversion", () => lists.parseDiversions(bytes("a\n/b\n:\n"))],
  ["huge mode", () => lists.parseStatOverrides(bytes("a b 77777 /x\n"))],
  ["relative conffile", () => lists.parseConffileList(bytes("etc/x\n"))],
  ["file trigger without package", () => lists.parseFileTriggers(bytes("/x\n"))],
  ["NUL", () => lists.parseFileList(bytes("/x\0\n"))],
])("refuses a %s", (_, parse) => {
  expect(parse).toThrow("Cannot parse");
});
