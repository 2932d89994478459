import { parseConfig } from "../../src/formats/oci/config.ts";
import { parseIndex, parseManifest } from "../../src/formats/oci/manifest.ts";
import { normalizeImageName, parseLayoutReference } from "../../src/formats/oci/reference.ts";
import { fuzz } from "./harness.ts";

const digest = `sha256:${"0".repeat(64)}`;
const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const descriptor = (mediaType: string): object => ({ mediaType, digest, size: 1, annotations: { a: "b" } });

fuzz(
  "parseIndex",
  [json({ schemaVersion: 2, manifests: [{ ...descriptor("x"), platform: { os: "linux", variant: null } }] })],
  parseIndex,
);

fuzz(
  "parseManifest",
  [
    json({
      schemaVersion: 2,
      config: descriptor("application/vnd.oci.image.config.v1+json"),
      layers: [descriptor("application/vnd.oci.image.layer.v1.tar")],
    }),
  ],
  parseManifest,
);

fuzz(
  "parseConfig",
  [
    json({
      config: { Labels: { a: "b" }, Env: ["A=b"] },
      rootfs: { type: "layers", diff_ids: [digest] },
      history: [{ created_by: "x", empty_layer: true }],
    }),
  ],
  parseConfig,
);

fuzz(
  "references",
  [Buffer.from("oci:dir:tag"), Buffer.from(`host.example:5000/a/b:1@${digest}`)],
  (bytes) => {
    const text = Buffer.from(bytes).toString("latin1");
    if (text.startsWith("oci:")) parseLayoutReference(text);
    const name = normalizeImageName(text);
    if (normalizeImageName(name) !== name) throw new Error(`Not stable: ${name}`);
  },
);
