import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseSha256 } from "../../core/digest.ts";
import { AtomfsError } from "../../core/errors.ts";
import {
  checkImageName,
  imagesJson,
  layerIdOf,
  layersJson,
  linkNameOf,
  type PublishedImage,
  parsePublishedImages,
  rfc3339,
  withImage,
} from "./image-records.ts";

const A = parseSha256("a".repeat(64));
const B = parseSha256("b".repeat(64));

function image(config: typeof A, ...names: readonly string[]): PublishedImage {
  return {
    config,
    configSize: 10,
    manifest: B,
    manifestSize: 20,
    names,
    created: "2024-01-02T03:04:05.000Z",
    treeSize: 30,
  };
}

test("layer ids and link names have c/storage's form and differ between images", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const config = parseSha256(Buffer.from(bytes).toString("hex"));
      const layer = layerIdOf(config);
      expect(layer).toMatch(/^[0-9a-f]{64}$/);
      expect(layer).not.toBe(config);
      expect(linkNameOf(layer)).toMatch(/^[A-Z2-7]{26}$/);
    }),
  );
  expect(layerIdOf(A)).not.toBe(layerIdOf(B));
  expect(linkNameOf(layerIdOf(A))).not.toBe(linkNameOf(layerIdOf(B)));
});

test("these names are in stores already: a change orphans every stopped container", () => {
  expect(layerIdOf(A)).toBe(parseSha256("3365a2df2410474afd0824ee217c7fd9dc64e3b5b212ca3a9f0f7f69b95e9235"));
  expect(linkNameOf(layerIdOf(A))).toBe("D6R6JGX2IH6LYPVETF3ASULG6H");
});

test("the indexes are what c/storage reads", () => {
  const [entry] = JSON.parse(imagesJson([image(A, "localhost/web:1")]));
  const data = [`sha256:${A}`, `manifest-sha256:${B}`, "manifest"];
  expect(entry).toEqual({
    id: A,
    digest: `sha256:${B}`,
    names: ["localhost/web:1"],
    layer: layerIdOf(A),
    metadata: "{}",
    "big-data-names": data,
    "big-data-sizes": { [`sha256:${A}`]: 10, [`manifest-sha256:${B}`]: 20, manifest: 20 },
    "big-data-digests": {
      [`sha256:${A}`]: `sha256:${A}`,
      [`manifest-sha256:${B}`]: `sha256:${B}`,
      manifest: `sha256:${B}`,
    },
    created: "2024-01-02T03:04:05.000Z",
  });
  const [layer] = JSON.parse(layersJson([image(A)]));
  expect(layer).toMatchObject({ id: layerIdOf(A), "diff-size": 30 });
  expect(layer["diff-digest"]).toMatch(/^sha256:[0-9a-f]{64}$/);
});

test("what is written is read back", () => {
  const images = [image(A, "localhost/web:1", "localhost/web:latest"), image(B)];
  expect(parsePublishedImages(imagesJson(images), layersJson(images))).toEqual(images);
  expect(parsePublishedImages("[]", "[]")).toEqual([]);
});

test("a damaged index is bad data", () => {
  const good = imagesJson([image(A, "localhost/web:1")]);
  const layers = layersJson([image(A)]);
  const bad = [
    "",
    "{}",
    "[1]",
    "[{}]",
    good.slice(1),
    good.replaceAll(A, "x"),
    good.replace('["localhost', '[1,"'),
  ];
  for (const text of bad) {
    const caught = caughtBy(() => parsePublishedImages(text, layers));
    expect(caught).toBeInstanceOf(AtomfsError);
    expect(caught).toMatchObject({ kind: "bad-data" });
  }
  expect(caughtBy(() => parsePublishedImages(good, '[{"diff-size":-1}]'))).toMatchObject({
    kind: "bad-data",
  });
});

function caughtBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("a name belongs to the newest image that claims it", () => {
  const both = withImage(
    [image(A, "localhost/web:1", "localhost/web:2")],
    image(B, "localhost/web:1", "localhost/web:1"),
  );
  expect(both.map(({ config, names }) => [config, names])).toEqual([
    [A, ["localhost/web:2"]],
    [B, ["localhost/web:1"]],
  ]);
  expect(withImage(both, image(A)).map(({ names }) => names)).toEqual([[], ["localhost/web:1"]]);
});

test("times that Go would refuse become 1970", () => {
  expect(rfc3339("2024-02-03T04:05:06.123456789Z")).toBe("2024-02-03T04:05:06.123Z");
  expect(rfc3339("yesterday")).toBe("1970-01-01T00:00:00.000Z");
  expect(rfc3339("+012024-02-03T04:05:06Z")).toBe("1970-01-01T00:00:00.000Z");
});

test("full image names pass, others are refused", () => {
  const digest = `@sha256:${"0".repeat(64)}`;
  for (const name of [
    "localhost/web:1.0",
    "docker.io/library/a__b:x",
    "h.example:5000/a/b-c:T",
    `quay.io/a${digest}`,
  ])
    expect(checkImageName(name)).toBe(name);
  for (const name of [
    "web",
    "localhost/web",
    "localhost/Web:1",
    "a/b:",
    "a/b:x y",
    "",
    "/a:1",
    `a/${"b".repeat(600)}:1`,
  ])
    expect(() => checkImageName(name)).toThrow(AtomfsError);
});
