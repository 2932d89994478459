import { expect, test } from "bun:test";
import { MOUNT_OPTIONS, parseMountOptions } from "./mount-options.ts";

const parse = (options: readonly string[], type = "tmpfs") =>
  parseMountOptions(
    { destination: "/x", type, source: "/y", options, uidMappings: [], gidMappings: [] },
    "mounts[0]",
  );

const ATIME = 0x70;

/** runtime-spec config.md: what a runtime MUST take, SHOULD take (less idmap) and MAY take; bits of linux/mount.h. */
const TABLE: readonly [option: string, set: number, clear: number][] = [
  ["ro", 1, 0],
  ["rw", 0, 1],
  ["nosuid", 2, 0],
  ["suid", 0, 2],
  ["nodev", 4, 0],
  ["dev", 0, 4],
  ["noexec", 8, 0],
  ["exec", 0, 8],
  ["nodiratime", 0x80, 0],
  ["diratime", 0, 0x80],
  ["noatime", 0x10, ATIME],
  ["atime", 0, ATIME],
  ["relatime", 0, ATIME],
  ["norelatime", 0, ATIME],
  ["strictatime", 0x20, ATIME],
  ["nostrictatime", 0, ATIME],
  ["nosymfollow", 0x200000, 0],
  ["symfollow", 0, 0x200000],
];

test.each(TABLE)("%s sets %p and clears %p, on one mount or on all below", (option, set, clear) => {
  expect(parse([option])).toMatchObject({
    attributes: { set, clear, recursive: false },
    recursiveAttributes: undefined,
    filesystem: [],
  });
  expect(parse([`r${option}`])).toMatchObject({
    attributes: { set: 0, clear: 0 },
    recursiveAttributes: { set, clear, recursive: true },
    filesystem: [],
  });
});

test.each<[string, object]>([
  ["bind", { bind: "one" }],
  ["rbind", { bind: "recursive" }],
  ["remount", { remount: true }],
  ["tmpcopyup", { copyUp: true }],
  ["sync", { filesystem: [["sync", ""]] }],
  ["async", { filesystem: [] }],
  ["dirsync", { filesystem: [["dirsync", ""]] }],
  ["lazytime", { filesystem: [["lazytime", ""]] }],
  ["nolazytime", { filesystem: [] }],
  ["mand", { filesystem: [["mand", ""]] }],
  ["nomand", { filesystem: [] }],
  ["defaults", { filesystem: [], attributes: { set: 0, clear: 0, recursive: false } }],
  ["silent", { filesystem: [] }],
  ["loud", { filesystem: [] }],
  ["iversion", { filesystem: [] }],
  ["noiversion", { filesystem: [] }],
  ["private", { propagations: [{ kind: "private", recursive: false }] }],
  ["rprivate", { propagations: [{ kind: "private", recursive: true }] }],
  ["shared", { propagations: [{ kind: "shared", recursive: false }] }],
  ["rshared", { propagations: [{ kind: "shared", recursive: true }] }],
  ["slave", { propagations: [{ kind: "slave", recursive: false }] }],
  ["rslave", { propagations: [{ kind: "slave", recursive: true }] }],
  ["unbindable", { propagations: [{ kind: "unbindable", recursive: false }] }],
  ["runbindable", { propagations: [{ kind: "unbindable", recursive: true }] }],
])("%s", (option, want) => {
  expect(parse([option])).toMatchObject(want);
  expect(MOUNT_OPTIONS).toContain(option);
});

/** The list of the specification, word by word. */
const MUST =
  "async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime noexec noiversion nolazytime norelatime nostrictatime nosuid private rbind relatime remount ro rprivate rshared rslave runbindable rw shared silent slave strictatime suid sync unbindable";

test("every option that a runtime must take is known", () => {
  expect(MUST.split(" ").filter((option) => !MOUNT_OPTIONS.includes(option))).toEqual([]);
  for (const option of MUST.split(" ")) expect(parse([option]).filesystem.length).toBeLessThan(2);
});

test("the later option wins", () => {
  expect(parse(["ro", "rw"]).attributes).toEqual({ set: 0, clear: 1, recursive: false });
  expect(parse(["rw", "ro"]).attributes).toEqual({ set: 1, clear: 0, recursive: false });
  expect(parse(["noatime", "strictatime"]).attributes).toEqual({ set: 0x20, clear: ATIME, recursive: false });
  expect(parse(["sync", "async"]).filesystem).toEqual([]);
});

test("what is left goes to the filesystem", () => {
  expect(parse(["mode=755,size=64k", "newinstance"]).filesystem).toEqual([
    ["mode", "755"],
    ["size", "64k"],
    ["newinstance", ""],
  ]);
});

test("a bind mount has no use for a value, and takes no word that is unknown", () => {
  expect(parse(["rbind", "rro", "mode=755,size=1"], "bind")).toMatchObject({
    filesystem: [],
    unused: ["mode", "size"],
  });
  expect(parse(["mode=755"])).toMatchObject({ filesystem: [["mode", "755"]], unused: [] });
  expect(() => parse(["rroo"], "bind")).toThrow("unknown for a bind mount");
});

test("id-mapped mounts: by an option, or by maps of their own", () => {
  const maps = [{ containerId: 0, hostId: 1, size: 10 }];
  expect(parse([], "bind").idMap).toBe("no");
  expect(parse(["idmap"], "bind").idMap).toBe("one");
  expect(parse(["ridmap"], "bind").idMap).toBe("recursive");
  const mount = {
    destination: "/x",
    source: "/y",
    type: "bind",
    options: [],
    uidMappings: maps,
    gidMappings: maps,
  };
  expect(parseMountOptions(mount, "mounts[0]").idMap).toBe("one");
  expect(parseMountOptions({ ...mount, options: ["ridmap"] }, "mounts[0]").idMap).toBe("recursive");
  expect(() => parse(["idmap=uids=0-1-10"], "bind")).toThrow("crun's own");
});
