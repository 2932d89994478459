import { createHash } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeTar } from "../../src/formats/tar/encode.ts";
import { tarFile } from "./tar-file.ts";

type Blob = { readonly digest: string; readonly size: number };
type Manifest = { config: Blob; layers: unknown[] };
type Config = { rootfs: { diff_ids: string[] }; history?: unknown };

/**
 * Writes an OCI layout whose image is that of another layout with one image, and `count` layers on it: of one small file
 * each, `/srv/layers/N`. It has the same tag.
 */
export function writeLayeredImage(from: string, to: string, count: number): void {
  cpSync(from, to, { recursive: true });
  const pathOf = (digest: string): string => join(to, "blobs/sha256", digest.replace("sha256:", ""));
  const read = <T>({ digest }: Blob): T => JSON.parse(readFileSync(pathOf(digest), "utf8")) as T;
  const put = (bytes: Uint8Array): Blob => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    writeFileSync(pathOf(digest), bytes);
    return { digest, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const indexPath = join(to, "index.json");
  const index = JSON.parse(readFileSync(indexPath, "utf8")) as { manifests: Blob[] };
  const [named] = index.manifests;
  if (named === undefined) throw new Error(`${from} has no image`);
  const manifest = read<Manifest>(named);
  const { history: _, ...config } = read<Config>(manifest.config);
  for (let n = 1; n <= count; n++) {
    const bytes = Buffer.from(`${n}\n`);
    const layer = put(
      encodeTar([
        tarFile("srv/"),
        tarFile("srv/layers/"),
        tarFile(`srv/layers/${n}`, { bytes, mode: 0o644 }),
      ]),
    );
    manifest.layers.push({ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer });
    config.rootfs.diff_ids.push(layer.digest);
  }
  manifest.config = { ...manifest.config, ...put(json(config)) };
  writeFileSync(indexPath, json({ ...index, manifests: [{ ...named, ...put(json(manifest)) }] }));
}
