import { expect, test } from "bun:test";
import type { Sha256 } from "../../core/digest.ts";
import { parseConfig } from "./config.ts";
import { parseIndex, parseManifest } from "./manifest.ts";
import { normalizeImageName, parseLayoutReference } from "./reference.ts";

const A = "a".repeat(64) as Sha256;
const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const descriptor = (mediaType: string, change: object = {}): object => ({
  mediaType,
  digest: `sha256:${A}`,
  size: 7,
  ...change,
});
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const manifest = (change: object = {}): Uint8Array =>
  bytes({ schemaVersion: 2, config: descriptor(CONFIG), layers: [descriptor(LAYER)], ...change });

test("parseManifest() reads OCI and Docker manifests", () => {
  const plain = { digest: A, size: 7, annotations: new Map(), platform: undefined };
  expect(parseManifest(manifest({ unknown: 1, annotations: { a: "b" } }))).toEqual({
    config: { ...plain, mediaType: CONFIG },
    layers: [{ ...plain, mediaType: LAYER }],
    annotations: new Map([["a", "b"]]),
  });
  const docker = manifest({
    mediaType: "application/vnd.docker.distribution.manifest.v2+json",
    config: descriptor("application/vnd.docker.container.image.v1+json"),
    layers: [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip")],
  });
  expect(parseManifest(docker).layers).toHaveLength(1);
});

test.each([
  [{ schemaVersion: 1 }, "schemaVersion"],
  [{ mediaType: "application/vnd.oci.image.index.v1+json" }, "calls itself"],
  [{ config: undefined }, "config"],
  [{ config: descriptor("application/vnd.wasm.config.v0+json") }, "not of a container image"],
  [{ layers: undefined }, "no layers"],
  [{ layers: {} }, "not a list"],
  [{ layers: [null] }, "not a JSON object"],
  [{ layers: [descriptor(`${LAYER}+encrypted`)] }, "not supported"],
  [{ layers: [descriptor(LAYER, { size: -1 })] }, "not a size"],
  [{ layers: [descriptor(LAYER, { size: 1.5 })] }, "not a size"],
  [{ layers: [descriptor(LAYER, { digest: "sha512:00" })] }, "only sha256"],
  [{ layers: [descriptor(LAYER, { digest: `sha256:../${A}` })] }, "64 hex digits"],
  [{ layers: [descriptor(LAYER, { annotations: { a: 1 } })] }, "annotations"],
  [{ layers: Array.from({ length: 1025 }, () => descriptor(LAYER)) }, "more than 1024"],
])("parseManifest() refuses %j", (change, why) => {
  expect(() => parseManifest(manifest(change))).toThrow(why);
});

test("documents must be JSON objects of limited size", () => {
  for (const text of ["", "{", "[]", "null", '{"a":"\xff"}', "[".repeat(100_000)])
    expect(() => parseIndex(Buffer.from(text, "latin1"))).toThrow("Cannot read image index");
  expect(() => parseIndex(new Uint8Array(5_000_000))).toThrow("longer than");
});

test("parseIndex() reads platforms and annotations", () => {
  const index = parseIndex(
    bytes({
      schemaVersion: 2,
      manifests: [
        descriptor("x", {
          platform: { os: "linux", architecture: "arm64", variant: "v8" },
          annotations: { "org.opencontainers.image.ref.name": "1" },
        }),
      ],
    }),
  );
  expect(index.manifests[0]?.platform).toEqual({ os: "linux", architecture: "arm64", variant: "v8" });
  expect(index.manifests[0]?.annotations.get("org.opencontainers.image.ref.name")).toBe("1");
});

test("parseConfig() takes null for what is empty, as Go writes it", () => {
  const config = parseConfig(
    bytes({
      architecture: "amd64",
      os: "linux",
      config: { Labels: null, Env: ["A=1"], Cmd: ["x"] },
      rootfs: { type: "layers", diff_ids: [`sha256:${A}`] },
      history: [{ created_by: "x", empty_layer: true }],
    }),
  );
  expect(config).toMatchObject({ architecture: "amd64", env: ["A=1"], diffIds: [A], labels: new Map() });
  expect(config.history).toEqual([
    { created: undefined, createdBy: "x", comment: undefined, emptyLayer: true },
  ]);
  expect(config.document["config"]).toMatchObject({ Cmd: ["x"] });
  expect(() => parseConfig(bytes({}))).toThrow("rootfs");
  expect(() => parseConfig(bytes({ rootfs: { type: "x" } }))).toThrow("want layers");
  expect(() => parseConfig(bytes({ rootfs: { type: "layers", diff_ids: ["sha256:0"] } }))).toThrow("64 hex");
});

test.each([
  ["web:1", "localhost/web:1"],
  ["web", "localhost/web:latest"],
  ["team/web:1", "localhost/team/web:1"],
  ["localhost/web", "localhost/web:latest"],
  ["localhost:5000/web:1", "localhost:5000/web:1"],
  ["docker.io/library/alpine:3", "docker.io/library/alpine:3"],
  [`r.example/a/b@sha256:${A}`, `r.example/a/b@sha256:${A}`],
  [`web:1@sha256:${A}`, `localhost/web:1@sha256:${A}`],
])("normalizeImageName(%j) is %j", (text, want) => {
  expect(normalizeImageName(text)).toBe(want);
  expect(normalizeImageName(want)).toBe(want);
});

test.each(["", "Web", "a//b", "a/../b", "web:", "web:a b", "-web", "/web", "a@sha256:00", "x".repeat(600)])(
  "normalizeImageName(%j) is refused",
  (text) => {
    expect(() => normalizeImageName(text)).toThrow("Cannot use image name");
  },
);

test("parseLayoutReference()", () => {
  expect(parseLayoutReference("oci:/a/b")).toEqual({ directory: "/a/b", tag: undefined });
  expect(parseLayoutReference("oci:b:1.0:x")).toEqual({ directory: "b", tag: "1.0:x" });
  for (const text of ["", "oci:", "oci::x", "oci:b:", "dir:b"])
    expect(() => parseLayoutReference(text)).toThrow("want oci:DIR[:TAG]");
});
