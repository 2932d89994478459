import { createHash } from "node:crypto";
import { copyFileSync, linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DemoImage } from "../scripts/demo/images.ts";
import { fromText } from "../src/core/bytestring.ts";
import { AtomfsError } from "../src/core/errors.ts";
import { EMPTY_XATTRS } from "../src/core/tree.ts";
import { encodeTar } from "../src/formats/tar/encode.ts";
import type { TarFile } from "../src/formats/tar/member.ts";

const TAG = "org.opencontainers.image.ref.name";
const APP_BYTES = 64 * 1024;

type Descriptor = {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
};
type Manifest = { readonly config: Descriptor; readonly layers: readonly Descriptor[] };
type Config = {
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly string[] };
  readonly history?: readonly unknown[];
};

/** The tag of the variant with this number (from 1). */
export function variantTag(number: number): string {
  return `app-${number}`;
}

/** An OCI layout of `count` images: each is `base` with a layer of its own, as services of one team are. */
export function writeVariants(base: DemoImage, directory: string, count: number): void {
  const blobs = join(directory, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const read = <T>(digest: string): T => JSON.parse(readFileSync(blobPath(base.layout, digest), "utf8")) as T;
  const put = (bytes: Uint8Array): { digest: string; size: number } => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const index = JSON.parse(readFileSync(join(base.layout, "index.json"), "utf8")) as {
    manifests: Descriptor[];
  };
  const found = index.manifests.find((each) => each.annotations?.[TAG] === base.tag);
  if (found === undefined) throw new AtomfsError("not-found", `${base.layout} has no image ${base.tag}`);
  const manifest = read<Manifest>(found.digest);
  const config = read<Config>(manifest.config.digest);
  for (const { digest } of manifest.layers)
    linkOrCopy(blobPath(base.layout, digest), blobPath(directory, digest));

  const manifests = Array.from({ length: count }, (_, index): Descriptor => {
    const layer = put(appLayer(index + 1));
    const ownConfig = put(
      json({
        ...config,
        rootfs: { type: "layers", diff_ids: [...config.rootfs.diff_ids, layer.digest] },
        history: [...(config.history ?? []), { created_by: `add ${variantTag(index + 1)}` }],
      }),
    );
    const own = put(
      json({
        ...manifest,
        config: { ...manifest.config, ...ownConfig },
        layers: [...manifest.layers, { mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
      }),
    );
    return { mediaType: found.mediaType, ...own, annotations: { [TAG]: variantTag(index + 1) } };
  });
  writeFileSync(join(directory, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(join(directory, "index.json"), json({ schemaVersion: 2, manifests }));
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs/sha256", digest.replace("sha256:", ""));
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

/** A program's directory with one file that no other variant has. */
function appLayer(number: number): Uint8Array {
  const member = (path: string, type: "dir" | "file", bytes: Uint8Array): TarFile => ({
    path: fromText(path),
    type,
    linkTarget: fromText(""),
    mode: type === "dir" ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    mtime: { sec: 1_700_000_000 + number, nsec: 0 },
    size: bytes.length,
    xattrs: EMPTY_XATTRS,
    major: 0,
    minor: 0,
    bytes,
  });
  const line = Buffer.from(`the program of ${variantTag(number)}\n`);
  return encodeTar([
    member("srv/app/", "dir", new Uint8Array()),
    member("srv/app/program", "file", Buffer.alloc(APP_BYTES, line)),
  ]);
}
