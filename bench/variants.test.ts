import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openOciLayout } from "../src/sources/oci-layout.ts";
import { writeOciLayout } from "../tests/support/oci-image.ts";
import { variantTag, writeVariants } from "./variants.ts";

test("each variant is an image of its own over the layers of the base", async () => {
  const directory = mkdtempSync(join(tmpdir(), "atomfs-variants-"));
  try {
    const tar = join(directory, "layer.tar");
    writeFileSync(tar, new Uint8Array(1024));
    const layout = join(directory, "base");
    writeOciLayout(layout, [tar]);
    const target = join(directory, "variants");
    writeVariants({ name: "web", layout, tag: "test", source: `oci:${layout}:test` }, target, 3);
    const base = await openOciLayout(layout, "test");
    const images = await Promise.all([1, 2, 3].map((number) => openOciLayout(target, variantTag(number))));
    expect(new Set(images.map((image) => image.configDigest)).size).toBe(3);
    for (const image of images) {
      expect(image.layers.map((layer) => layer.diffId).slice(0, -1)).toEqual(
        base.layers.map((layer) => layer.diffId),
      );
      for (const layer of image.layers)
        for await (const chunk of layer.open()) expect(chunk.length).toBeGreaterThan(0);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
