import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSha256, type Sha256 } from "../../core/digest.ts";
import { layerIdOf, linkNameOf } from "./image-records.ts";
import {
  diffTarget,
  type ImageToPublish,
  initImageStore,
  publishedImages,
  publishImage,
  setDiffTarget,
  setImageNames,
  unpublishImage,
} from "./image-store.ts";

let storeDir = "";

beforeEach(() => {
  storeDir = mkdtempSync(join(tmpdir(), "atomfs-image-store-"));
});
afterEach(() => rmSync(storeDir, { recursive: true, force: true }));

function digestOf(bytes: Uint8Array): Sha256 {
  return parseSha256(createHash("sha256").update(bytes).digest("hex"));
}

function imageOf(text: string, ...names: readonly string[]): ImageToPublish {
  const configBytes = Buffer.from(`config ${text}`);
  const manifestBytes = Buffer.from(`manifest ${text}`);
  return {
    storeDir,
    configDigest: digestOf(configBytes),
    configBytes,
    manifestDigest: digestOf(manifestBytes),
    manifestBytes,
    names,
    created: "2024-01-02T03:04:05Z",
    diffTarget: `/run/trees/${text}`,
  };
}

function failureOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

function token(name: string): string {
  return readFileSync(join(storeDir, name), "hex");
}

test("an empty store is complete, and making it again changes nothing", () => {
  initImageStore(storeDir);
  const before = token("overlay-images/images.lock");
  expect(before.length).toBe(128);
  expect(readFileSync(join(storeDir, "overlay-images/images.json"), "utf8")).toBe("[]");
  expect(readFileSync(join(storeDir, "overlay-layers/layers.json"), "utf8")).toBe("[]");
  initImageStore(storeDir);
  expect(token("overlay-images/images.lock")).toBe(before);
});

test("a published image has all files, readable under any umask", () => {
  const image = imageOf("web", "localhost/web:1");
  const umask = process.umask(0o077);
  try {
    publishImage(image);
  } finally {
    process.umask(umask);
  }
  const layer = layerIdOf(image.configDigest);
  const link = linkNameOf(layer);
  expect(readlinkSync(join(storeDir, "overlay", layer, "diff"))).toBe("/run/trees/web");
  expect(readFileSync(join(storeDir, "overlay", layer, "link"), "latin1")).toBe(link);
  expect(readlinkSync(join(storeDir, "overlay/l", link))).toBe(`../${layer}/diff`);
  const bigData = join(storeDir, "overlay-images", image.configDigest);
  expect(readFileSync(join(bigData, "manifest"), "utf8")).toBe("manifest web");
  const contents = readdirSync(bigData).map((name) => readFileSync(join(bigData, name), "utf8"));
  expect(contents.sort()).toEqual(["config web", "manifest web", "manifest web"]);
  for (const name of readdirSync(storeDir, { recursive: true, encoding: "utf8" })) {
    if (name === "publish.lock") continue;
    const stat = lstatSync(join(storeDir, name));
    if (!stat.isSymbolicLink())
      expect([name, stat.mode & 0o777]).toEqual([name, stat.isDirectory() ? 0o755 : 0o644]);
  }
});

test("every change of an index brings a fresh token into the same lock file", () => {
  publishImage(imageOf("web", "localhost/web:1"));
  const path = join(storeDir, "overlay-images/images.lock");
  const before = { token: token("overlay-images/images.lock"), inode: statSync(path).ino };
  setImageNames(storeDir, imageOf("web").configDigest, ["localhost/web:2"]);
  expect(token("overlay-images/images.lock")).not.toBe(before.token);
  expect(statSync(path).ino).toBe(before.inode);
});

test("names add up, move to another image, and can be replaced", () => {
  publishImage(imageOf("a", "localhost/a:1"));
  publishImage(imageOf("a", "localhost/a:2"));
  publishImage(imageOf("b", "localhost/a:1"));
  const names = (): Record<string, readonly string[]> =>
    Object.fromEntries(publishedImages(storeDir).map((image) => [image.config, image.names]));
  const a = imageOf("a").configDigest;
  const b = imageOf("b").configDigest;
  expect(names()).toEqual({ [a]: ["localhost/a:2"], [b]: ["localhost/a:1"] });
  setImageNames(storeDir, a, []);
  expect(names()).toEqual({ [a]: [], [b]: ["localhost/a:1"] });
});

test("the tree of an image moves; an unknown image or a relative path is refused", () => {
  const image = imageOf("web");
  publishImage(image);
  setDiffTarget(storeDir, image.configDigest, "/run/trees/fixed");
  expect(diffTarget(storeDir, image.configDigest)).toBe("/run/trees/fixed");
  const other = imageOf("other").configDigest;
  expect(failureOf(() => setDiffTarget(storeDir, other, "/x"))).toMatchObject({ kind: "not-found" });
  expect(failureOf(() => setDiffTarget(storeDir, image.configDigest, "x"))).toMatchObject({ kind: "usage" });
});

test("bytes that are not what their digest says are refused, and so are short names", () => {
  const image = imageOf("web", "localhost/web:1");
  const other = Buffer.from("other");
  expect(failureOf(() => publishImage({ ...image, configBytes: other }))).toMatchObject({
    kind: "untrusted",
  });
  expect(failureOf(() => publishImage({ ...image, manifestBytes: other }))).toMatchObject({
    kind: "untrusted",
  });
  expect(failureOf(() => publishImage({ ...image, names: ["web"] }))).toMatchObject({ kind: "usage" });
  expect(publishedImages(storeDir)).toEqual([]);
});

test("an unpublished image leaves nothing, twice too, and others stay", () => {
  publishImage(imageOf("a", "localhost/a:1"));
  const before = readdirSync(storeDir, { recursive: true, encoding: "utf8" }).sort();
  const b = imageOf("b", "localhost/b:1");
  publishImage(b);
  unpublishImage(storeDir, b.configDigest);
  unpublishImage(storeDir, b.configDigest);
  expect(readdirSync(storeDir, { recursive: true, encoding: "utf8" }).sort()).toEqual(before);
  expect(publishedImages(storeDir).map(({ names }) => names)).toEqual([["localhost/a:1"]]);
});

test("publishing heals what a crash left half done", () => {
  const image = imageOf("web", "localhost/web:1");
  publishImage(image);
  writeFileSync(join(storeDir, "overlay-images/images.json"), "[]");
  rmSync(join(storeDir, "overlay/l"), { recursive: true });
  publishImage(image);
  expect(publishedImages(storeDir)).toHaveLength(1);
  expect(readdirSync(join(storeDir, "overlay/l"))).toHaveLength(1);
});

test("a damaged index is said so, and nothing is overwritten", () => {
  initImageStore(storeDir);
  const path = join(storeDir, "overlay-images/images.json");
  writeFileSync(path, '[{"id":7}]');
  expect(failureOf(() => publishImage(imageOf("web")))).toMatchObject({ kind: "bad-data" });
  expect(readFileSync(path, "utf8")).toBe('[{"id":7}]');
});
