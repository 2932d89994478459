import { describe, expect, test } from "bun:test";
import { treePath } from "../core/bytestring.ts";
import { parseFileTriggers } from "../formats/dpkg/lists.ts";
import { triggerProblems } from "./triggers.ts";

const FILE_TRIGGERS = [
  "/usr/share/man man-db/noawait",
  "/usr/share/glib-2.0/schemas libglib2.0-0:amd64",
  "/lib/udev/hwdb.d udev/noawait",
  "/usr/share/demo demo:amd64",
].join("\n");

function problems(
  paths: readonly string[],
  options: { readonly new?: string; readonly old?: string; readonly fileTriggers?: string } = {},
): string[] {
  const bytes = (text: string | undefined): Uint8Array | undefined =>
    text === undefined ? undefined : Buffer.from(text);
  return triggerProblems({
    packageName: "demo",
    newTriggers: bytes(options.new),
    oldTriggers: bytes(options.old),
    changedPaths: paths.map(treePath),
    fileTriggers: parseFileTriggers(Buffer.from(options.fileTriggers ?? FILE_TRIGGERS)),
    namedTriggers: new Map([
      ["ldconfig", ["libc-bin"]],
      ["update-ca-certificates", ["ca-certificates"]],
    ]),
  });
}

describe("triggers that are harmless", () => {
  test.each([
    ["a library", ["/usr/lib/x86_64-linux-gnu/libdemo.so.1"], "activate-noawait ldconfig\n"],
    ["a manual page", ["/usr/share/man/man1/demo.1.gz"], ""],
    ["a directory with a similar name", ["/usr/share/glib-2.0/schemas2/a"], ""],
    ["its own interest", ["/usr/share/demo/a"], ""],
    ["a trigger that nobody waits for", [], "activate nobody-waits\n# a comment\n"],
  ])("%s", (_what, paths, triggers) => {
    expect(problems(paths, { new: triggers, old: triggers })).toEqual([]);
  });
});

describe("triggers that are problems", () => {
  test("a changed file below another package's path, once for all of them", () => {
    const found = problems(["/usr/share/glib-2.0/schemas/a.xml", "/usr/share/glib-2.0/schemas/b.xml"]);
    expect(found).toEqual([
      expect.stringContaining("changes /usr/share/glib-2.0/schemas/a.xml, and libglib2.0-0:amd64 waits"),
    ]);
  });

  test("the path itself", () => {
    expect(problems(["/usr/share/glib-2.0/schemas"])).toHaveLength(1);
  });

  test("a path written without /usr", () => {
    expect(problems(["/usr/lib/udev/hwdb.d/20-x.hwdb"])).toEqual([expect.stringContaining("udev waits")]);
  });

  test("another package's interest in a path where man-db waits too", () => {
    const fileTriggers = "/usr/share/man man-db\n/usr/share/man other\n";
    expect(problems(["/usr/share/man/man1/a"], { fileTriggers })).toEqual([
      expect.stringContaining("other waits"),
    ]);
  });

  test("a named trigger, also if only the old version activates it", () => {
    expect(problems([], { new: "activate update-ca-certificates\n" })).toHaveLength(1);
    expect(problems([], { old: "activate update-ca-certificates\n" })).toHaveLength(1);
  });

  test("a path that the package activates without having it", () => {
    expect(problems([], { new: "activate /usr/share/glib-2.0/schemas\n" })).toHaveLength(1);
  });

  test("interests that come, go, or begin to be awaited", () => {
    expect(problems([], { new: "interest a\n", old: "interest b\n" })).toEqual([
      expect.stringContaining("begins to wait for trigger a"),
      expect.stringContaining("ceases to wait for trigger b"),
    ]);
    expect(problems([], { new: "interest-noawait a\n", old: "interest a\n" })).toHaveLength(2);
    expect(problems([], { new: "interest a\n", old: "# same\ninterest a\n" })).toEqual([]);
  });

  test("a triggers file that dpkg would refuse", () => {
    expect(() => problems([], { new: "intrest a\n" })).toThrow("unknown directive");
  });
});
