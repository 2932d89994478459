import { expect, test } from "bun:test";
import { parseMountinfo } from "./mountinfo.ts";
import { commonMounts } from "./same-mount.ts";

const MOUNTS = parseMountinfo(
  [
    "20 1 8:1 / / rw - ext4 /dev/a rw",
    "21 20 0:30 / /proc rw - proc proc rw",
    "22 20 8:1 /var/lib/c/overlay /var/lib/c/overlay rw - ext4 /dev/a rw",
    "23 20 8:2 / /srv rw - ext4 /dev/b rw",
    "24 20 8:1 /var /mnt/v\\040r rw - ext4 /dev/a rw",
    "25 20 8:1 /etc /mnt/etc rw - ext4 /dev/a rw",
  ].join("\n"),
);

test("a bind mount and the mount below it meet in every mount that shows both", () => {
  const layer = { id: 22, path: "/var/lib/c/overlay/1/diff" };
  const store = { id: 20, path: "/var/lib/atomfs/tmp/x" };
  expect(commonMounts(MOUNTS, layer, store)).toEqual([
    { target: "/", source: "/var/lib/c/overlay/1/diff", other: "/var/lib/atomfs/tmp/x" },
    { target: "/mnt/v r", source: "/lib/c/overlay/1/diff", other: "/lib/atomfs/tmp/x" },
  ]);
});

test("paths below a mount of a subdirectory are found by what it shows", () => {
  const there = { id: 24, path: "/mnt/v r/lib/a" };
  expect(commonMounts(MOUNTS, there, { id: 20, path: "/etc/x" })).toEqual([
    { target: "/", source: "/var/lib/a", other: "/etc/x" },
  ]);
});

test.each([
  ["another filesystem", { id: 23, path: "/srv/x" }],
  ["an unknown mount", { id: 99, path: "/srv/x" }],
])("%s has none in common", (_, place) => {
  expect(commonMounts(MOUNTS, { id: 20, path: "/var" }, place)).toEqual([]);
});
