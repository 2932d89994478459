import { describe, expect, test } from "bun:test";
import { findMount, mountsIn, parseMountinfo, readMountinfo, superOption } from "./mountinfo.ts";

const OVERLAY =
  "36 35 98:0 /mnt1 /mnt/with\\040space rw,noatime master:1 propagate_from:2 - overlay atomfs:ab" +
  " rw,lowerdir=/a:/b,upperdir=/u/with\\054comma/diff,workdir=/w";

describe("mountsIn", () => {
  const line = (target: string): string => `1 2 0:5 / ${target} rw - tmpfs s rw`;
  const text = ["/a", "/ab", "/a/b", "/x/a", "/a\\040b/c"].map(line).join("\n");

  test("a directory and what is below it, in order", () => {
    expect(mountsIn(`${text}\n`, "/a").map(({ target }) => target)).toEqual(["/a", "/a/b"]);
    expect(mountsIn(text, "/a b").map(({ target }) => target)).toEqual(["/a b/c"]);
  });

  test("lines elsewhere may be anything", () => {
    expect(mountsIn("nonsense /b\n", "/a")).toEqual([]);
    expect(() => mountsIn("nonsense /a\n", "/a")).toThrow(/mountinfo line/);
  });
});

describe("parseMountinfo", () => {
  test("fields, optional fields, octal escapes", () => {
    expect(parseMountinfo(`${OVERLAY}\n`)).toEqual([
      {
        id: 36,
        parent: 35,
        major: 98,
        minor: 0,
        root: "/mnt1",
        target: "/mnt/with space",
        options: ["rw", "noatime"],
        type: "overlay",
        source: "atomfs:ab",
        superOptions: ["rw", "lowerdir=/a:/b", "upperdir=/u/with,comma/diff", "workdir=/w"],
      },
    ]);
  });

  test("a quoted context stays one option", () => {
    const line = '1 2 0:5 / /x rw - overlay s rw,upperdir=/u,context="a:b:c0,c1",workdir=/w';
    expect(parseMountinfo(line)[0]?.superOptions).toEqual([
      "rw",
      "upperdir=/u",
      'context="a:b:c0,c1"',
      "workdir=/w",
    ]);
  });

  test("an empty source is allowed, the topmost mount of a target is found", () => {
    const mounts = parseMountinfo("1 0 0:1 / /a rw - tmpfs  rw\n2 1 0:2 / /a rw - tmpfs two rw,size=4k\n");
    expect(mounts[0]?.source).toBe("");
    const top = findMount(mounts, "/a");
    expect(top?.id).toBe(2);
    expect(top && superOption(top, "size")).toBe("4k");
    expect(findMount(mounts, "/b")).toBeUndefined();
  });

  test("a target that is not ASCII is found by its text", () => {
    const line = Buffer.from("1 0 0:1 / /é rw - tmpfs s rw\n").toString("latin1");
    expect(findMount(parseMountinfo(line), "/é")?.id).toBe(1);
  });

  test.each(["x", "1 2 3 / / rw - t s o", "a 2 0:1 / / rw - t s o", "1 2 0:1 / / rw t s o"])(
    "refuses %p",
    (line) => {
      expect(() => parseMountinfo(line)).toThrow(/Cannot understand the mountinfo line/);
    },
  );
});

test("reads this process's own mounts", () => {
  expect(findMount(readMountinfo(), "/proc")?.type).toBe("proc");
});
