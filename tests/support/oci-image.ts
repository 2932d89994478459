import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";

/** What `docker save` and the like call the machine's architecture. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** Everything of a directory as an uncompressed layer, with nanoseconds and extended attributes. */
export async function tarDirectory(directory: string, target: string): Promise<void> {
  await run([
    "tar",
    ...["--create", "--format=posix", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name"],
    // Access times would make each archive another one.
    "--pax-option=delete=atime,delete=ctime",
    ...["--file", target, "--directory", directory, "."],
  ]);
}

/** Writes an OCI layout with one image, tagged "test", of these uncompressed layers. */
export function writeOciLayout(
  directory: string,
  layers: readonly string[],
  labels: Record<string, string> = {},
): void {
  const blobs = join(directory, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (bytes: Uint8Array): { digest: string; size: number } => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const stored = layers.map((layer) => put(readFileSync(layer)));
  const config = put(
    json({
      architecture: ARCHITECTURES[process.arch] ?? process.arch,
      os: "linux",
      config: { Env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], Labels: labels },
      rootfs: { type: "layers", diff_ids: stored.map((layer) => layer.digest) },
    }),
  );
  const manifest = put(
    json({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers: stored.map((layer) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer })),
    }),
  );
  writeFileSync(join(directory, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  const annotations = { "org.opencontainers.image.ref.name": "test" };
  const manifests = [{ mediaType: "application/vnd.oci.image.manifest.v1+json", ...manifest, annotations }];
  writeFileSync(join(directory, "index.json"), json({ schemaVersion: 2, manifests }));
}
