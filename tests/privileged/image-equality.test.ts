import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { buildDemoImages, type DemoImages } from "../../scripts/demo/images.ts";
import { joinAtoms } from "../../src/atoms/join.ts";
import { fromText } from "../../src/core/bytestring.ts";
import type { Tree } from "../../src/core/tree.ts";
import { whiteoutOf } from "../../src/formats/oci/whiteout.ts";
import { openOciLayout } from "../../src/sources/oci-layout.ts";
import type { ImageRecord } from "../../src/store/records.ts";
import { setTimes } from "../../src/sys/files.ts";
import { run } from "../../src/sys/process.ts";
import { setXattr } from "../../src/sys/xattr.ts";
import { FixLab } from "../support/fix-lab.ts";
import { tarDirectory, writeOciLayout } from "../support/oci-image.ts";
import { patience } from "../support/slowness.ts";
import { readDirectory, treeDifferences, unexcused } from "../support/tree-differences.ts";

const MINUTES = patience(60_000);

let lab: FixLab;
let demo: DemoImages;
beforeAll(async () => {
  lab = new FixLab();
  demo = await buildDemoImages({ cacheDir: "/var/cache/atomfs-demo", log: () => {} });
}, 10 * MINUTES);
afterAll(() => lab[Symbol.dispose](), MINUTES);

/** What a layer's whiteouts hide, then what it has: by GNU tar, one layer after the other. */
async function applyLayers(layout: string, tag: string, root: string): Promise<void> {
  const archive = join(lab.newDirectory("layer"), "layer.tar");
  for (const layer of (await openOciLayout(layout, tag)).layers) {
    writeFileSync(archive, Buffer.concat(await Array.fromAsync(layer.open())));
    const { stdout } = await run([
      "tar",
      "--list",
      "--verbose",
      "--file",
      archive,
      "--quoting-style=literal",
    ]);
    const members = stdout
      .toString("utf8")
      .split("\n")
      // "-rw-r--r-- 0/0   12 2026-01-01 00:00 ./etc/a", with " -> b" or " link to b" for links.
      .map((line) => /^(.)\S+ \S+ +\S+ \S+ \S+ (.*?)( -> .*| link to .*)?$/.exec(line))
      .flatMap((match) => (match === null ? [] : [{ type: match[1], path: join(root, match[2] ?? "") }]));
    const described = new Set(
      members.filter((each) => each.type === "d").map((each) => join(each.path, ".")),
    );
    // A directory that a layer puts something into, or hides something in, without describing it, stays as it was.
    const touched = new Map(
      members
        .map((each) => dirname(each.path))
        .filter((directory) => !described.has(directory))
        .map((directory) => [
          directory,
          lstatSync(directory, { bigint: true, throwIfNoEntry: false })?.mtimeNs,
        ]),
    );
    for (const { type, path } of members) if (type !== "d") makeRoom(root, path);
    await run([
      ...(["tar", "--extract", "--file", archive, "--directory", root] as const),
      ...["--same-owner", "--same-permissions", "--numeric-owner", "--xattrs", "--xattrs-include=*"],
      ...[
        "--keep-directory-symlink",
        "--delay-directory-restore",
        "--exclude=.wh.*",
        "--wildcards-match-slash",
      ],
    ]);
    for (const [directory, time] of touched) {
      if (time === undefined) continue;
      const mtime = { sec: Number(time / 1_000_000_000n), nsec: Number(time % 1_000_000_000n) };
      setTimes(Buffer.from(directory), mtime);
    }
  }
  rmSync(archive);
}

/** Obeys a whiteout, and takes away a directory where the layer has something else. */
function makeRoom(root: string, path: string): void {
  const whiteout = whiteoutOf(relative(root, path).split("/").map(fromText));
  const options = { recursive: true, force: true };
  if (whiteout?.kind === "hide") rmSync(join(dirname(path), whiteout.name), options);
  else if (whiteout?.kind === "opaque") {
    const directory = dirname(path);
    for (const each of existsSync(directory) ? readdirSync(directory) : [])
      rmSync(join(directory, each), options);
  } else if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) rmSync(path, options);
}

async function unpackWithUmoci(layout: string, tag: string): Promise<string> {
  const bundle = join(lab.newDirectory("bundle"), "bundle");
  await run(["umoci", "unpack", "--image", `${layout}:${tag}`, bundle]);
  return join(bundle, "rootfs");
}

function expectEqual(actual: Tree, directory: string, exempt: string): void {
  expect(unexcused(treeDifferences(actual, readDirectory(directory).tree), exempt)).toEqual([]);
}

/** The molecule, and the atoms joined, against what two other programs make of the same layout. */
async function compareWithOthers(image: ImageRecord, layout: string, tag: string): Promise<void> {
  const molecule = lab.current(image.config);
  const joined = joinAtoms(image.atoms.map((id) => lab.store.readAtom(id)));
  expect(unexcused(treeDifferences(joined, molecule), "none-exempt.json")).toEqual([]);
  const byUmoci = await unpackWithUmoci(layout, tag);
  expectEqual(molecule, byUmoci, "umoci-drops.json");
  rmSync(byUmoci, { recursive: true });
  const byTar = lab.newDirectory("by-tar");
  await applyLayers(layout, tag, byTar);
  expectEqual(molecule, byTar, "none-exempt.json");
  rmSync(byTar, { recursive: true });
}

describe("the unfixed molecule is the image, as umoci and GNU tar unpack it", () => {
  for (const name of ["web", "feed", "plain"] as const) {
    test(
      `demo image ${name}`,
      async () => {
        const { layout, tag } = demo[name];
        const { image, packageAtoms, layerAtoms } = await lab.importLayout(layout, tag, name);
        expect(packageAtoms).toBeGreaterThan(50);
        expect(layerAtoms).toBe((await openOciLayout(layout, tag)).layers.length);
        await compareWithOthers(image, layout, tag);
      },
      10 * MINUTES,
    );
  }

  test(
    "layers with everything that tar can hold, replaced and hidden by others",
    async () => {
      const layers = [await richLayer(), await coveringLayer()];
      const layout = lab.newDirectory("layout");
      writeOciLayout(layout, layers);
      const { image } = await lab.importLayout(layout, "test", "rich");
      await compareWithOthers(image, layout, "test");
    },
    5 * MINUTES,
  );
});

async function richLayer(): Promise<string> {
  const root = lab.newDirectory("rich");
  for (const name of ["etc", "usr/bin", "var/opaque", "dir"])
    mkdirSync(join(root, name), { recursive: true });
  for (const name of ["etc/a", "etc/hidden", "usr/bin/tool", "var/opaque/old", "dir/f"])
    writeFileSync(join(root, name), name.repeat(30));
  linkSync(join(root, "usr/bin/tool"), join(root, "usr/bin/again"));
  linkSync(join(root, "etc/a"), join(root, "etc/b"));
  chmodSync(join(root, "usr/bin/tool"), 0o4755);
  symlinkSync("usr/bin", join(root, "bin"));
  symlinkSync("../etc/a", join(root, "usr/link"));
  await run(["mknod", join(root, "null"), "c", "1", "3"]);
  await run(["mkfifo", join(root, "fifo")]);
  setXattr(join(root, "etc/hidden"), fromText("user.note"), fromText("x"));
  setXattr(join(root, "dir/f"), fromText("user.note"), fromText("caf\u00e9"));
  setXattr(join(root, "usr/bin/tool"), fromText("security.capability"), CAPABILITY);
  utimesSync(join(root, "dir/f"), 1, 12.25);
  return packed(root);
}

/** CAP_NET_RAW, permitted and effective, as VFS_CAP_REVISION_2. */
const CAPABILITY = fromText("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0");

async function coveringLayer(): Promise<string> {
  const root = lab.newDirectory("covering");
  for (const name of ["etc", "usr/bin", "var/opaque"]) mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, "etc/.wh.hidden"), "");
  writeFileSync(join(root, "var/opaque/.wh..wh..opq"), "");
  writeFileSync(join(root, "var/opaque/new"), "new");
  // One of two hard links is replaced: the other keeps the old content.
  writeFileSync(join(root, "usr/bin/again"), "another file");
  writeFileSync(join(root, "dir"), "was a directory");
  writeFileSync(join(root, ".wh.fifo"), "");
  return packed(root);
}

async function packed(root: string): Promise<string> {
  const archive = join(lab.newDirectory("archive"), "layer.tar");
  await tarDirectory(root, archive);
  return archive;
}
