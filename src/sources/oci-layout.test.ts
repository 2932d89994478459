import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { run } from "../sys/process.ts";
import { openOciLayout } from "./oci-layout.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const HERE = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "atomfs-layout-"));
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
});
afterEach(() => rmSync(directory, { recursive: true }));

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const blobPath = (digest: string): string => join(directory, "blobs/sha256", digest.replace("sha256:", ""));

type Descriptor = { mediaType: string; digest: string; size: number; [more: string]: unknown };

function blob(mediaType: string, content: Uint8Array | object, more: object = {}): Descriptor {
  const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
  writeFileSync(blobPath(sha256(bytes)), bytes);
  return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length, ...more };
}

const TAR = Buffer.from("stands for a tar");

function image(
  more: object = {},
  layerBytes: Uint8Array = gzipSync(TAR),
  diffId = sha256(TAR),
  config: object = {},
): Descriptor {
  const layer = blob("application/vnd.oci.image.layer.v1.tar+gzip", layerBytes);
  return blob(
    MANIFEST,
    {
      schemaVersion: 2,
      config: blob("application/vnd.oci.image.config.v1+json", {
        ...HERE,
        rootfs: { type: "layers", diff_ids: [`sha256:${diffId}`] },
        ...config,
      }),
      layers: [layer],
    },
    more,
  );
}

function index(...manifests: readonly object[]): void {
  writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
}

const tag = (name: string): object => ({ annotations: { "org.opencontainers.image.ref.name": name } });

async function layerText(name?: string): Promise<string> {
  const opened = await openOciLayout(directory, name);
  return Buffer.concat(await Array.fromAsync(opened.layers[0]?.open() ?? [])).toString();
}

test.each([
  ["gzip", gzipSync(TAR)],
  ["zstd", zstdCompressSync(TAR)],
  ["no compression", TAR],
])("an image with %s", async (_name, bytes) => {
  const manifest = image(tag("1"), bytes);
  index(manifest);
  const opened = await openOciLayout(directory, "1");
  expect(`sha256:${opened.manifestDigest}`).toBe(manifest.digest);
  expect(sha256(opened.manifestBytes)).toBe(opened.manifestDigest);
  expect(sha256(opened.configBytes)).toBe(opened.configDigest);
  expect(opened.layers.map(({ diffId, digest, size }) => [diffId, digest, size] as unknown)).toEqual([
    [sha256(TAR), sha256(bytes), bytes.length],
  ]);
  expect(await layerText("1")).toBe(TAR.toString());
  expect(await layerText()).toBe(TAR.toString());
});

test("tags: unknown, several", async () => {
  index(image(tag("1")), image(tag("2"), TAR));
  await expect(openOciLayout(directory, "3")).rejects.toMatchObject({
    kind: "not-found",
    hints: ["tags in this layout: 1, 2"],
  });
  await expect(openOciLayout(directory)).rejects.toMatchObject({ kind: "not-found" });
  index();
  await expect(openOciLayout(directory)).rejects.toMatchObject({ kind: "not-found" });
});

test("a nested index: this machine's manifest, the plain variant first", async () => {
  const platform = (more: object): object => ({ platform: { ...HERE, ...more } });
  const want = image(platform({}));
  const nested = blob(
    INDEX,
    {
      schemaVersion: 2,
      manifests: [
        image(platform({ architecture: "s390x" })),
        image(platform({ os: "unknown", architecture: "unknown" })),
        image(platform({ variant: "v9" }), TAR),
        want,
      ],
    },
    tag("1"),
  );
  index(nested);
  expect(`sha256:${(await openOciLayout(directory, "1")).manifestDigest}`).toBe(want.digest);
  index(image(platform({ architecture: "s390x" })));
  await expect(openOciLayout(directory)).rejects.toMatchObject({
    kind: "not-found",
    hints: ["it is for: linux/s390x"],
  });
});

test("an index that nests without end is refused", async () => {
  let inner = image();
  for (let depth = 0; depth < 7; depth++) inner = blob(INDEX, { schemaVersion: 2, manifests: [inner] });
  index(inner);
  await expect(openOciLayout(directory)).rejects.toThrow("nested too deeply");
});

test("wrong digests and sizes are found", async () => {
  const manifest = image();
  index({ ...manifest, size: manifest.size + 1 });
  await expect(openOciLayout(directory)).rejects.toMatchObject({ kind: "bad-data" });
  index(manifest);
  writeFileSync(blobPath(manifest.digest), "x".repeat(manifest.size));
  await expect(openOciLayout(directory)).rejects.toMatchObject({ kind: "untrusted" });

  index(image({}, gzipSync(TAR), "0".repeat(64)));
  await expect(layerText()).rejects.toMatchObject({ kind: "untrusted" });

  index(image({}, TAR));
  writeFileSync(blobPath(sha256(TAR)), "x".repeat(TAR.length));
  await expect(layerText()).rejects.toMatchObject({ kind: "untrusted" });
  writeFileSync(blobPath(sha256(TAR)), TAR.subarray(1));
  await expect(layerText()).rejects.toMatchObject({ kind: "bad-data" });
  rmSync(blobPath(sha256(TAR)));
  await expect(layerText()).rejects.toMatchObject({ kind: "not-found" });
});

test("blobs that are symlinks, FIFOs or directories are refused", async () => {
  const layer = blobPath(sha256(TAR));
  index(image({}, TAR));
  const elsewhere = join(directory, "elsewhere");
  renameSync(layer, elsewhere);
  symlinkSync(elsewhere, layer);
  await expect(layerText()).rejects.toMatchObject({ kind: "bad-data" });
  rmSync(layer);
  await run(["mkfifo", layer]);
  await expect(layerText()).rejects.toThrow("not a regular file");
  rmSync(layer);
  mkdirSync(layer);
  await expect(layerText()).rejects.toThrow("not a regular file");
});

test("blobs/ must not be a symlink; a layout must say its version", async () => {
  index(image());
  renameSync(join(directory, "blobs"), join(directory, "real"));
  symlinkSync("real", join(directory, "blobs"));
  await expect(openOciLayout(directory)).rejects.toThrow("blobs is not a directory");
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"9"}');
  await expect(openOciLayout(directory)).rejects.toThrow("version 1.0.0");
  await expect(openOciLayout(join(directory, "absent"))).rejects.toMatchObject({ kind: "not-found" });
});

test("layers and diff ids must match in number; only Linux images", async () => {
  index(image({}, TAR, sha256(TAR), { rootfs: { type: "layers", diff_ids: [] } }));
  await expect(openOciLayout(directory)).rejects.toThrow("1 layers, but its config names 0");
  index(image({}, TAR, sha256(TAR), { os: "windows" }));
  await expect(openOciLayout(directory)).rejects.toThrow("not for Linux");
});

test.skipIf(!existsSync("/usr/bin/umoci"))("a layout that umoci made", async () => {
  const layout = join(directory, "umoci");
  await run(["umoci", "init", "--layout", layout]);
  await run(["umoci", "new", "--image", `${layout}:x`]);
  expect((await openOciLayout(layout, "x")).layers).toEqual([]);
});
