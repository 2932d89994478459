import { expect, test } from "bun:test";
import { parseMountinfo } from "../../sys/mountinfo.ts";
import { sourceOfRoot } from "./image-store-root.ts";

const LINK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LAYER = "5".repeat(64);
const GRAPH = "/var/lib/containers/storage/overlay";

function root(superOptions: string, type = "overlay"): Parameters<typeof sourceOfRoot>[0] {
  const [mount] = parseMountinfo(`719 700 0:92 / / rw,relatime - ${type} overlay rw,${superOptions}\n`);
  if (mount === undefined) throw new Error("no mount");
  return mount;
}
const withUpper = (lower: string): string =>
  `${lower},upperdir=${GRAPH}/${LAYER}/diff,workdir=${GRAPH}/${LAYER}/work`;

test.each([
  ["image-store", `lowerdir=/var/lib/atomfs/image-store/overlay/l/${LINK}`],
  ["image-store", `lowerdir+=/srv/store/image-store/overlay/l/${LINK}`],
  ["engine", `lowerdir=${GRAPH}/l/${LINK}:${GRAPH}/l/${LINK}`],
  ["engine", `lowerdir=l/${LINK}:l/${LINK}`],
  [undefined, "lowerdir=7:8:9"],
  [undefined, `lowerdir=${GRAPH}/${LAYER}/mapped/0/l/${LINK}`],
] as const)("%p by %s", (source, lower) => {
  expect(sourceOfRoot(root(withUpper(lower)))).toBe(source);
});

test("containerd's snapshots and plain directories are elsewhere", () => {
  const snapshots = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";
  const options = `lowerdir=${snapshots}/1/fs,upperdir=${snapshots}/2/fs,workdir=${snapshots}/2/work`;
  expect(sourceOfRoot(root(options))).toBe("elsewhere");
  expect(sourceOfRoot(root("errors=remount-ro", "ext4"))).toBe("elsewhere");
});
