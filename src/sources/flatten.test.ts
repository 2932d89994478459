import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { tarFile } from "../../tests/support/tar-file.ts";
import { type ByteString, fromBytes, parentPath, ROOT, treePath } from "../core/bytestring.ts";
import type { Sha256 } from "../core/digest.ts";
import { AtomfsError } from "../core/errors.ts";
import type { ContentSink } from "../core/tree.ts";
import { decodeTar } from "../formats/tar/decode.ts";
import { encodeTar } from "../formats/tar/encode.ts";
import type { TarFile, TarMember } from "../formats/tar/member.ts";
import { type FlattenedLayers, type FlattenOptions, flattenLayers, unpackMembers } from "./flatten.ts";

/** Keeps all contents inline, so that trees can be looked at. */
const sink: ContentSink = {
  async put(chunks, size) {
    const pieces: Uint8Array[] = [];
    for await (const piece of chunks) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    if (bytes.length !== size) throw new Error(`Got ${bytes.length} bytes, want ${size}`);
    return { kind: "inline", bytes: fromBytes(bytes) };
  },
};

function entry(path: string, change: Partial<TarFile>): TarFile {
  return tarFile(path, {
    type: "file",
    mode: 0o644,
    uid: 1,
    gid: 2,
    mtime: { sec: 3, nsec: 0 },
    ...change,
  });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}

/** "d/" is a directory, "l -> t" a symlink, "h = t" a hard link, "f:text" a file, "f" an empty one. */
function member(spec: string): TarFile {
  const symlink = spec.split(" -> ");
  if (symlink.length === 2)
    return entry(symlink[0] ?? "", { type: "symlink", linkTarget: symlink[1] as ByteString });
  const link = spec.split(" = ");
  if (link.length === 2) return entry(link[0] ?? "", { type: "hardlink", linkTarget: link[1] as ByteString });
  if (spec.endsWith("/")) return entry(spec, { type: "dir", mode: 0o700 });
  const [path = "", text = ""] = spec.split(":");
  return entry(path, { bytes: Buffer.from(text, "latin1") });
}

function flatten(
  layers: readonly (readonly TarFile[])[],
  options?: FlattenOptions,
): Promise<FlattenedLayers> {
  return flattenLayers(
    layers.map((members, index) => ({
      diffId: String(index).repeat(64) as Sha256,
      open: () => once(encodeTar(members)),
    })),
    sink,
    options,
  );
}

/** One line a path: "/d/ 700 @0" with the layer that set it; implicit directories have mode 755. */
async function listing(...layers: readonly (readonly string[])[]): Promise<string[]> {
  const { tree, layerOf } = await flatten(layers.map((layer) => layer.map(member)));
  for (const path of tree.keys()) expect(tree.get(parentPath(path))?.type).toBe("dir");
  expect([...layerOf.keys()].sort()).toEqual([...tree.keys()].sort());
  const directories = [...tree.values()].filter((inode) => inode.type === "dir");
  expect(new Set(directories).size).toBe(directories.length);
  const lines: string[] = [];
  for (const [path, inode] of [...tree].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (path === ROOT) continue;
    const what =
      inode.type === "dir"
        ? `/ ${inode.mode.toString(8)}`
        : inode.type === "symlink"
          ? ` -> ${inode.target}`
          : inode.type === "file" && inode.content.kind === "inline"
            ? `:${inode.content.bytes}`
            : ` ${inode.type}`;
    lines.push(`${path}${what} @${layerOf.get(path)}`);
  }
  return lines;
}

async function refusal(...layers: readonly (readonly string[])[]): Promise<string> {
  try {
    await flatten(layers.map((layer) => layer.map(member)));
  } catch (error) {
    if (error instanceof AtomfsError && error.kind === "bad-data") return error.message;
    throw error;
  }
  throw new Error("was accepted");
}

describe("whiteouts", () => {
  const lower = ["d/", "d/a:1", "d/s/", "d/s/b:2", "e:3"];
  test.each([
    ["hides a file", [["d/.wh.a"]], ["/d/ 700 @0", "/d/s/ 700 @0", "/d/s/b:2 @0", "/e:3 @0"]],
    ["hides a directory and all in it", [[".wh.d"]], ["/e:3 @0"]],
    [
      "of what is not there, or below nothing",
      [[".wh.x", "no/.wh.x", "e/.wh.x"]],
      ["/d/ 700 @0", "/d/a:1 @0", "/d/s/ 700 @0", "/d/s/b:2 @0", "/e:3 @0"],
    ],
    [
      "before the layer's own entry",
      [[".wh.e", "e:new"]],
      ["/d/ 700 @0", "/d/a:1 @0", "/d/s/ 700 @0", "/d/s/b:2 @0", "/e:new @1"],
    ],
    [
      "after the layer's own entry",
      [["e:new", ".wh.e"]],
      ["/d/ 700 @0", "/d/a:1 @0", "/d/s/ 700 @0", "/d/s/b:2 @0", "/e:new @1"],
    ],
    [
      "before entries below it",
      [[".wh.d", "d/s/n:4"]],
      ["/d/ 755 @1", "/d/s/ 755 @1", "/d/s/n:4 @1", "/e:3 @0"],
    ],
    [
      "after entries below it",
      [["d/s/n:4", ".wh.d"]],
      ["/d/ 755 @1", "/d/s/ 755 @1", "/d/s/n:4 @1", "/e:3 @0"],
    ],
    ["of a directory that the layer sets too", [["d/", ".wh.d"]], ["/d/ 700 @1", "/e:3 @0"]],
    ["opaque first", [["d/.wh..wh..opq", "d/n:4"]], ["/d/ 700 @0", "/d/n:4 @1", "/e:3 @0"]],
    [
      "opaque last",
      [["d/n:4", "d/s/n:5", "d/.wh..wh..opq"]],
      ["/d/ 700 @0", "/d/n:4 @1", "/d/s/ 755 @1", "/d/s/n:5 @1", "/e:3 @0"],
    ],
    ["opaque, with the directory itself", [["d/", "d/.wh..wh..opq"]], ["/d/ 700 @1", "/e:3 @0"]],
    ["opaque at the root", [[".wh..wh..opq", "n:4"]], ["/n:4 @1"]],
    [
      "opaque, then the next layer adds",
      [["d/.wh..wh..opq"], ["d/a:9"]],
      ["/d/ 700 @0", "/d/a:9 @2", "/e:3 @0"],
    ],
    [
      "nested opaque markers",
      [["d/s/n:4", "d/s/.wh..wh..opq", "d/.wh..wh..opq"]],
      ["/d/ 700 @0", "/d/s/ 755 @1", "/d/s/n:4 @1", "/e:3 @0"],
    ],
    [
      "aufs bookkeeping is ignored",
      [[".wh..wh.aufs", ".wh..wh.plnk/", ".wh..wh.plnk/1.2:x"]],
      ["/d/ 700 @0", "/d/a:1 @0", "/d/s/ 700 @0", "/d/s/b:2 @0", "/e:3 @0"],
    ],
  ])("%s", async (_name, layers, want) => {
    expect(await listing(lower, ...layers)).toEqual(want);
  });

  test("through a symlinked directory", async () => {
    expect(await listing(["d/", "d/a:1", "l -> d"], ["l/.wh.a"])).toEqual(["/d/ 700 @0", "/l -> d @0"]);
  });

  test.each([[".wh."], [".wh.."], [".wh..."], ["d/.wh.x/y"]])("%s is refused", async (path) => {
    expect(await refusal(["d/"], [path])).toContain("Layer 2 of 2 (111111111111): Cannot unpack ");
  });

  test("are ordinary names in a package", async () => {
    const tree = await unpackMembers(decodeTar(once(encodeTar([member("./.wh.a")]))), sink);
    expect([...tree.keys()]).toEqual([ROOT, treePath("/.wh.a")]);
  });
});

test("an empty name is refused", async () => {
  async function* members(): AsyncGenerator<TarMember, void, void> {
    yield { ...entry("", {}), content: once(new Uint8Array()) };
  }
  await expect(unpackMembers(members(), sink)).rejects.toThrow("its path is empty");
});

describe("layers over layers", () => {
  test.each([
    ["a file replaces a directory", [["d/", "d/a"], ["d:x"]], ["/d:x @1"]],
    ["a directory replaces a file", [["d:x"], ["d/", "d/a"]], ["/d/ 700 @1", "/d/a: @1"]],
    ["a directory keeps what is in it", [["d/a"], ["d/"]], ["/d/ 700 @1", "/d/a: @0"]],
    ["a directory replaces a symlink", [["e/", "d -> e"], ["d/"]], ["/d/ 700 @1", "/e/ 700 @0"]],
    ["a later name wins within a layer", [["a:1", "a:2"]], ["/a:2 @0"]],
    ["parents are implied", [["./x//y/./z:1"]], ["/x/ 755 @0", "/x/y/ 755 @0", "/x/y/z:1 @0"]],
    ["absolute names", [["/x:1"]], ["/x:1 @0"]],
    [
      "through symlinks, inside the root",
      [
        ["usr/", "bin -> usr/bin", "abs -> /usr"],
        ["bin/a:1", "abs/b:2"],
      ],
      [
        "/abs -> /usr @0",
        "/bin -> usr/bin @0",
        "/usr/ 700 @0",
        "/usr/b:2 @1",
        "/usr/bin/ 755 @1",
        "/usr/bin/a:1 @1",
      ],
    ],
    [
      "symlinks that leave stop at the root",
      [["out -> ../../../etc"], ["out/p:1"]],
      ["/etc/ 755 @1", "/etc/p:1 @1", "/out -> ../../../etc @0"],
    ],
  ])("%s", async (_name, layers, want) => {
    expect(await listing(...layers)).toEqual(want);
  });

  test.each([
    ["../x", '".."'],
    ["a/../x", '".."'],
    ["f/x", "not a directory"],
    ["loop/x", "not a directory"],
    ["hl = absent", "does not exist"],
    ["hl = d", "directory"],
    ["hl = ../f", '".."'],
    ["d = d/f", "in place of"],
    [". -> x", "root must be a directory"],
    [`${"n".repeat(256)}`, "longer"],
    [`${"d/".repeat(2049)}f`, "longer"],
    [`s -> ${"t".repeat(4096)}`, "too long"],
  ])("%j is refused", async (spec, why) => {
    expect(await refusal(["f:1", "d/", "d/f", "loop -> loop"], [spec])).toContain(why);
  });
});

test("hard links share one inode until a layer changes one name", async () => {
  const { tree } = await flatten([
    ["d/", "a:1", "d/b = a", "s -> a", "t = ./s", "l -> d"].map(member),
    ["a:2", "c = l/b"].map(member),
  ]);
  const at = (path: string): unknown => tree.get(treePath(path));
  expect(at("/d/b")).toBe(at("/c"));
  expect(at("/a")).not.toBe(at("/c"));
  expect(at("/a")).toMatchObject({ content: { bytes: "2" } });
  expect(at("/c")).toMatchObject({ content: { bytes: "1" } });
  expect(at("/t")).toBe(at("/s"));
  expect(at("/t")).toMatchObject({ type: "symlink" });
});

test("the root has the attributes that a layer gives it", async () => {
  const { tree } = await flatten([[entry("./", { type: "dir", mode: 0o711 })]]);
  expect(tree.get(ROOT)).toMatchObject({ mode: 0o711, uid: 1, mtime: { sec: 3, nsec: 0 } });
  expect((await flatten([[]])).tree.get(ROOT)).toMatchObject({ mode: 0o755, uid: 0 });
});

test("attributes, devices and xattrs are taken over; xattrs have Linux's limits", async () => {
  const xattrs = (value: string): ReadonlyMap<ByteString, ByteString> =>
    new Map([["user.x" as ByteString, value as ByteString]]);
  const { tree } = await flatten([
    [
      entry("c", { type: "char", major: 5, minor: 1 }),
      entry("p", { type: "fifo" }),
      entry("f", { xattrs: xattrs("\xff\0"), mode: 0o4755 }),
    ],
  ]);
  expect(tree.get(treePath("/c"))).toEqual({
    type: "char",
    major: 5,
    minor: 1,
    mode: 0o644,
    uid: 1,
    gid: 2,
    mtime: { sec: 3, nsec: 0 },
    xattrs: new Map(),
  });
  expect(tree.get(treePath("/p"))?.type).toBe("fifo");
  expect(tree.get(treePath("/f"))).toMatchObject({ mode: 0o4755, xattrs: xattrs("\xff\0") });
  await expect(flatten([[entry("f", { xattrs: xattrs("x".repeat(65_537)) })]])).rejects.toThrow(
    "too long for Linux",
  );
});

test("large files are streamed, small ones come whole", async () => {
  const counts: number[] = [];
  const counting: ContentSink = {
    async put(chunks, size) {
      let count = 0;
      for await (const _chunk of chunks) count++;
      counts.push(count);
      return sink.put([new Uint8Array(size)], size);
    },
  };
  const archive = encodeTar([
    entry("a", { bytes: new Uint8Array(3_000_000) }),
    entry("b", { bytes: new Uint8Array(900_000) }),
    entry("c", {}),
  ]);
  const layer = {
    diffId: "a".repeat(64) as Sha256,
    async *open() {
      for (let at = 0; at < archive.length; at += 100_000) yield archive.subarray(at, at + 100_000);
    },
  };
  await flattenLayers([layer], counting);
  expect(counts[0]).toBeGreaterThan(10);
  expect(counts.slice(1)).toEqual([1, 0]);
});

test("progress and interruption", async () => {
  const seen: unknown[] = [];
  await flatten([[member("a:12")], [member("b:3")]], { onProgress: (progress) => seen.push(progress) });
  expect(seen).toEqual([
    { layer: 0, layers: 2, entries: 1, bytes: 2 },
    { layer: 1, layers: 2, entries: 2, bytes: 3 },
  ]);
  await expect(flatten([[member("a")]], { signal: AbortSignal.abort() })).rejects.toMatchObject({
    kind: "interrupted",
  });
});

test("any layers give a sound tree or bad-data", async () => {
  const name = fc.constantFrom("a", "b", "c", ".wh.a", ".wh.b", ".wh..wh..opq", "..", ".");
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
  const spec = fc.oneof(
    path.map((p) => `${p}:x`),
    path.map((p) => `${p}/`),
    fc.tuple(path, path).map(([p, t]) => `${p} -> ${t}`),
    fc.tuple(path, path).map(([p, t]) => `${p} = ${t}`),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(spec, { maxLength: 8 }), { minLength: 1, maxLength: 3 }),
      async (layers) => {
        try {
          await listing(...layers);
        } catch (error) {
          if (!(error instanceof AtomfsError)) throw error;
        }
      },
    ),
    { numRuns: 500 },
  );
});
