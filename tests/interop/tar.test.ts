import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type ByteString, type TreePath, toBytes } from "../../src/core/bytestring.ts";
import type { Sha256 } from "../../src/core/digest.ts";
import type { Tree } from "../../src/core/tree.ts";
import { encodeTar } from "../../src/formats/tar/encode.ts";
import type { TarFile } from "../../src/formats/tar/member.ts";
import { flattenLayers } from "../../src/sources/flatten.ts";
import { openOciLayout } from "../../src/sources/oci-layout.ts";
import { run } from "../../src/sys/process.ts";
import { tarFile } from "../support/tar-file.ts";
import { inlineSink, readRealTree, treeLines } from "./real-tree.ts";

const isReady =
  process.getuid?.() === 0 &&
  ["tar", "umoci", "getfattr", "setfattr"].every((tool) => Bun.which(tool) !== null);

let directory = "";
beforeAll(() => {
  // Not on a tmpfs: user xattrs and sparse files must work.
  directory = mkdtempSync(join(process.env["ATOMFS_TEST_DIR"] ?? "/var/tmp", "atomfs-interop-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

async function flattenFile(path: string): Promise<Tree> {
  const layer = {
    diffId: "0".repeat(64) as Sha256,
    async *open() {
      yield* Bun.file(path).stream();
    },
  };
  return (await flattenLayers([layer], inlineSink)).tree;
}

const LONG = "long-".repeat(30);

async function makeSource(source: string, kinds: { readonly isOld: boolean }): Promise<void> {
  const at = (name: string): Buffer =>
    Buffer.concat([Buffer.from(`${source}/`), toBytes(name as ByteString)]);
  mkdirSync(at("d/e"), { recursive: true });
  writeFileSync(at("d/file"), "content");
  writeFileSync(at("d/empty"), "");
  writeFileSync(at("d/block"), new Uint8Array(512).fill(0x41));
  writeFileSync(at("big"), new Uint8Array(3_000_000).fill(0x42));
  writeFileSync(at("\xff\xfe not text \xc3\x28"), "bytes");
  writeFileSync(at('new\nline\\ and "quotes"'), "x");
  await run(["ln", join(source, "d/file"), join(source, "d/hard")]);
  await run(["ln", "-s", "d/file", join(source, "soft")]);
  await run(["ln", join(source, "soft"), join(source, "soft2"), "-P"]);
  await run(["chmod", "4751", join(source, "d/empty")]);
  await run(["chmod", "1777", join(source, "d/e")]);
  await run(["chown", "12345:54321", join(source, "d/block")]);
  await run(["touch", "-d", "1999-12-31 23:59:59", join(source, "d/file")]);
  if (kinds.isOld) return;
  mkdirSync(at(`d/${LONG}`));
  writeFileSync(at(`d/${LONG}/${LONG}`), "deep");
  await run(["ln", "-s", `${LONG}${LONG}`, join(source, "longlink")]);
  await run(["ln", join(source, "d", LONG, LONG), join(source, "longhard")]);
  await run(["mkfifo", join(source, "fifo")]);
  await run(["mknod", join(source, "null"), "c", "1", "3"]);
  await run(["mknod", join(source, "loop"), "b", "7", "200"]);
}

describe.skipIf(!isReady)("GNU tar", () => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["v7", [], []],
    // ustar has no room for a name part of over 100 bytes, so it gets the old names too.
    ["ustar", [], []],
    ["gnu", [], ["rich"]],
    ["gnu", ["--sparse"], ["rich", "sparse", "ids"]],
    ["gnu", [], ["rich", "ids", "before-1970"]],
    ["pax", [], ["rich", "nanoseconds", "ids", "before-1970"]],
    ["pax", ["--xattrs", "--xattrs-include=*"], ["rich", "nanoseconds", "xattrs"]],
    ["pax", ["--sparse", "--sparse-version=0.0"], ["rich", "sparse", "nanoseconds"]],
    ["pax", ["--sparse", "--sparse-version=0.1"], ["rich", "sparse", "nanoseconds"]],
    ["pax", ["--sparse", "--sparse-version=1.0"], ["rich", "sparse", "nanoseconds"]],
  ];
  test.each(cases.map((one, index) => [index, ...one] as const))(
    "%i: --format=%s %j %j",
    async (index, format, flags, kinds) => {
      const source = join(directory, `source-${index}`);
      mkdirSync(source);
      await makeSource(source, { isOld: !kinds.includes("rich") });
      if (kinds.includes("ids")) await run(["chown", "4000000000:3000000000", join(source, "big")]);
      if (kinds.includes("before-1970"))
        await run(["touch", "-d", "1960-01-02 03:04:05", join(source, "big")]);
      if (kinds.includes("xattrs")) {
        await run(["setfattr", "-n", "user.binary", "-v", "0x00ff0a3d2580", join(source, "d/file")]);
        await run(["setfattr", "-n", "user.odd=%3D", "-v", "x", join(source, "d/file")]);
        await run(["setfattr", "-n", "user.empty", join(source, "d/e")]);
        await run([
          "setfattr",
          "-n",
          "security.capability",
          "-v",
          "0x0100000200ff80ff00000000ff00000000000000",
          join(source, "d/empty"),
        ]);
      }
      if (kinds.includes("sparse")) {
        await run(["truncate", "-s", "10M", join(source, "hole")]);
        for (const [name, count] of [
          ["few", 3],
          ["many", 60],
        ] as const) {
          await run(["truncate", "-s", "9M", join(source, name)]);
          for (let i = 0; i < count; i++)
            await run([
              "dd",
              "if=/dev/urandom",
              `of=${join(source, name)}`,
              "bs=4096",
              "count=1",
              "conv=notrunc",
              `seek=${i * 30 + 1}`,
            ]);
        }
      }
      if (!kinds.includes("nanoseconds"))
        await run([
          "find",
          source,
          "-newermt",
          "2001-01-01",
          "-exec",
          "touch",
          "-h",
          "-d",
          "2020-02-02 02:02:02",
          "{}",
          "+",
        ]);
      const archive = join(directory, `${index}.tar`);
      await run(["tar", `--format=${format}`, ...flags, "-C", source, "-cf", archive, "."]);
      const want = await readRealTree(source);
      if (!kinds.includes("xattrs"))
        expect([...want.values()].every((inode) => inode.xattrs.size === 0)).toBe(true);
      expect(treeLines(await flattenFile(archive), () => true)).toEqual(treeLines(want, () => true));
    },
  );

  test("reads what encodeTar() writes", async () => {
    const source = join(directory, "encoded");
    const archive = join(directory, "encoded.tar");
    // Only GNU tar escapes names of xattrs; Go's archive/tar, thus umoci, takes them as they are.
    const escaped = entry("y", { xattrs: new Map([["user.x=y%" as ByteString, "v" as ByteString]]) });
    mkdirSync(source);
    writeFileSync(archive, encodeTar([...RICH, escaped]));
    await run([
      "tar",
      "--xattrs",
      "--xattrs-include=*",
      "--numeric-owner",
      "-p",
      "-C",
      source,
      "-xf",
      archive,
    ]);
    const want = await readRealTree(source);
    const found = await flattenFile(archive);
    // GNU tar makes some links last, and does not restore the times of their directories.
    const hasTime = (path: TreePath): boolean => path !== "" && path !== "/d";
    expect(treeLines(found, hasTime)).toEqual(treeLines(want, hasTime));
  });
});

function entry(path: string, change: Partial<TarFile> = {}): TarFile {
  return tarFile(path, { uid: 7, gid: 8, ...change });
}

const text = (path: string, content: string): TarFile => entry(path, { bytes: Buffer.from(content) });
const link = (path: string, type: "symlink" | "hardlink", target: string): TarFile =>
  entry(path, { type, mode: type === "symlink" ? 0o777 : 0o755, linkTarget: target as ByteString });

const RICH: readonly TarFile[] = [
  entry("./", { uid: 0, gid: 0 }),
  entry("d/", { mode: 0o1770 }),
  text("d/f", "content"),
  entry(`${LONG}${"\xe9".repeat(40)}`, { mtime: { sec: -5, nsec: 250_000_000 }, uid: 4_000_000_000 }),
  entry("x", { xattrs: new Map([["user.x" as ByteString, "\0\xff\n" as ByteString]]) }),
  link("d/s", "symlink", `f${"/".repeat(120)}`),
  link("d/h", "hardlink", "d/f"),
  entry("null", { type: "char", major: 1, minor: 3 }),
  entry("fifo", { type: "fifo" }),
];

/** Layers whose result umoci and we must agree on. */
const IMAGES: readonly (readonly [string, readonly (readonly TarFile[])[]])[] = [
  ["rich", [RICH]],
  [
    "whiteouts",
    [
      [
        entry("d/"),
        text("d/a", "1"),
        entry("d/s/"),
        text("d/s/b", "2"),
        text("e", "3"),
        entry("o/"),
        text("o/x", "4"),
        text("o/y", "5"),
      ],
      [entry("d/.wh.a"), entry(".wh.e"), entry("o/.wh..wh..opq"), text("o/new", "6")],
      [text("e", "again"), entry("d/.wh.s"), entry(".wh.absent")],
    ],
  ],
  [
    "whiteout after the layer's own entries",
    [
      [entry("d/"), text("d/old", "1"), text("e", "2")],
      [
        entry("d/", { mode: 0o700 }),
        text("d/new", "3"),
        entry("d/.wh..wh..opq"),
        text("e", "4"),
        entry(".wh.e"),
      ],
    ],
  ],
  [
    "types change",
    [
      [entry("a/"), text("a/x", "1"), text("b", "2"), link("c", "symlink", "a")],
      [text("a", "file now"), entry("b/"), text("b/y", "3"), entry("c/")],
    ],
  ],
  [
    "through symlinks",
    [
      [
        entry("usr/"),
        entry("usr/bin/"),
        link("bin", "symlink", "usr/bin"),
        link("abs", "symlink", "/usr"),
        link("up", "symlink", "../../../usr/bin"),
      ],
      [text("bin/a", "1"), text("abs/b", "2"), text("up/c", "3"), entry("bin/.wh.none")],
      [entry("bin/.wh.a"), link("abs/h", "hardlink", "bin/c")],
    ],
  ],
  [
    "hard links",
    [
      [
        text("a", "1"),
        link("b", "hardlink", "a"),
        link("c", "hardlink", "b"),
        link("s", "symlink", "a"),
        link("t", "hardlink", "s"),
      ],
      [text("b", "2"), link("d", "hardlink", "c")],
      [entry(".wh.a")],
    ],
  ],
  ["implied parents", [[text("x/y/z", "1")], [entry("x/", { mode: 0o711 })]]],
];

function writeLayout(layout: string, layers: readonly (readonly TarFile[])[]): void {
  const write = (mediaType: string, bytes: Uint8Array): object => {
    const digest = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(layout, "blobs/sha256", digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const tars = layers.map(encodeTar);
  const config = write(
    "application/vnd.oci.image.config.v1+json",
    json({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: {
        type: "layers",
        diff_ids: tars.map((tar) => `sha256:${createHash("sha256").update(tar).digest("hex")}`),
      },
      history: tars.map(() => ({ created_by: "test" })),
    }),
  );
  const blobs = tars.map((tar) => write("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(tar)));
  const manifest = write(
    "application/vnd.oci.image.manifest.v1+json",
    json({ schemaVersion: 2, config, layers: blobs }),
  );
  const named = { ...manifest, annotations: { "org.opencontainers.image.ref.name": "t" } };
  writeFileSync(join(layout, "index.json"), json({ schemaVersion: 2, manifests: [named] }));
}

describe.skipIf(!isReady)("umoci", () => {
  test.each(IMAGES)("unpack: %s", async (name, layers) => {
    const layout = join(directory, name.replace(/\W/g, "-"));
    writeLayout(layout, layers);
    await run(["umoci", "unpack", "--image", `${layout}:t`, `${layout}-bundle`]);
    const image = await openOciLayout(layout, "t");
    const { tree } = await flattenLayers(image.layers, inlineSink);
    const want = await readRealTree(`${layout}-bundle/rootfs`);
    // umoci gives directories that are only implied the time of unpacking; all that a layer names has its own time.
    const named = new Set(layers.flat().map((member) => `/${member.path.replace(/^(\.?\/)+|\/$/g, "")}`));
    const hasTime = (path: TreePath): boolean => named.has(path) && path !== "/";
    expect(treeLines(tree, hasTime)).toEqual(treeLines(want, hasTime));
  });

  test("repack: layers that umoci made", async () => {
    const layout = join(directory, "repacked");
    const bundle = join(directory, "repacked-bundle");
    writeLayout(layout, [RICH]);
    await run(["umoci", "unpack", "--image", `${layout}:t`, bundle]);
    await run(["rm", "-r", join(bundle, "rootfs/d")]);
    writeFileSync(join(bundle, "rootfs/added"), "new");
    await run(["umoci", "repack", "--image", `${layout}:t2`, bundle]);
    const image = await openOciLayout(layout, "t2");
    expect(image.layers).toHaveLength(2);
    const { tree, layerOf } = await flattenLayers(image.layers, inlineSink);
    const want = await readRealTree(join(bundle, "rootfs"));
    // umoci writes whole seconds.
    const isOld = (path: TreePath): boolean => layerOf.get(path) === 0 && path !== "";
    expect(treeLines(tree, isOld)).toEqual(treeLines(want, isOld));
    expect(layerOf.get("/added" as TreePath)).toBe(1);
    expect(readFileSync(join(bundle, "rootfs/added"), "utf8")).toBe("new");
  });
});
