import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { ByteString } from "../core/bytestring.ts";
import { encodeTar } from "../formats/tar/encode.ts";
import type { TarFile } from "../formats/tar/member.ts";
import { run } from "../sys/process.ts";
import { type Deb, readDeb } from "./deb.ts";

function file(path: string, content: string, change: Partial<TarFile> = {}): TarFile {
  return {
    path: path as ByteString,
    type: "file",
    linkTarget: "" as ByteString,
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: { sec: 5, nsec: 0 },
    size: content.length,
    xattrs: new Map(),
    major: 0,
    minor: 0,
    bytes: Buffer.from(content),
    ...change,
  };
}

function ar(members: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from("!<arch>\n")];
  for (const [name, body] of members) {
    parts.push(Buffer.from(`${name.padEnd(16)}${"0".padEnd(32)}${String(body.length).padEnd(10)}\`\n`), body);
    if (body.length % 2 === 1) parts.push(Buffer.from("\n"));
  }
  return Buffer.concat(parts);
}

const CONTROL = encodeTar([
  file("./", "", { type: "dir" }),
  file("./control", "Package: x\n", { mode: 0o644 }),
  file("./postinst", "#!/bin/sh\n"),
]);
const DATA = encodeTar([file("./usr/", "", { type: "dir" }), file("./usr/x", "content")]);

async function xz(bytes: Uint8Array): Promise<Uint8Array> {
  return (await run(["xz", "-c"], { stdin: bytes })).stdout;
}

function deb(control: readonly [string, Uint8Array], data: readonly [string, Uint8Array]): Uint8Array {
  return ar([["debian-binary", Buffer.from("2.0\n")], control, data]);
}

async function contents(read: Deb): Promise<unknown> {
  const files: [string, string][] = [];
  for await (const member of read.openData())
    files.push([member.path, Buffer.concat(await Array.fromAsync(member.content)).toString()]);
  const control = [...read.controlMembers].map(([name, member]) => [
    name,
    Buffer.from(member.bytes).toString(),
    member.mode,
  ]);
  return { control, files };
}

const WANT = {
  control: [
    ["control", "Package: x\n", 0o644],
    ["postinst", "#!/bin/sh\n", 0o755],
  ],
  files: [
    ["./usr/", ""],
    ["./usr/x", "content"],
  ],
};

test("each compression, and a file", async () => {
  const packages = [
    deb(["control.tar", CONTROL], ["data.tar", DATA]),
    deb(["control.tar.gz", gzipSync(CONTROL)], ["data.tar.gz", gzipSync(DATA)]),
    deb(["control.tar.zst", zstdCompressSync(CONTROL)], ["data.tar.zst", zstdCompressSync(DATA)]),
    deb(["control.tar.xz", await xz(CONTROL)], ["data.tar.xz", await xz(DATA)]),
  ];
  for (const bytes of packages) {
    const read = await readDeb(bytes);
    expect(await contents(read)).toEqual(WANT);
    expect(await contents(read)).toEqual(WANT);
  }
});

test("a package that dpkg-deb made", async () => {
  const directory = mkdtempSync(join(tmpdir(), "atomfs-deb-"));
  try {
    const tree = join(directory, "tree");
    await Bun.write(
      join(tree, "DEBIAN/control"),
      "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: m <m@x>\nDescription: d\n",
    );
    await Bun.write(join(tree, "usr/x"), "content");
    for (const kind of ["gzip", "xz", "none"]) {
      const path = join(directory, `${kind}.deb`);
      await run(["dpkg-deb", "--root-owner-group", `-Z${kind}`, "-b", tree, path]);
      const { files } = (await contents(await readDeb(path))) as { files: unknown };
      expect(files).toEqual([
        ["./", ""],
        ["./usr/", ""],
        ["./usr/x", "content"],
      ]);
    }
    await expect(readDeb(join(directory, "absent.deb"))).rejects.toMatchObject({ kind: "not-found" });
    await expect(readDeb(directory)).rejects.toMatchObject({ kind: "bad-data" });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("damaged packages are refused", async () => {
  const packed = await xz(DATA);
  const control = ["control.tar", CONTROL] as const;
  const reading = async (bytes: Uint8Array): Promise<unknown> => contents(await readDeb(bytes));
  const bad: Uint8Array[] = [
    deb(control, ["data.tar.xz", packed.subarray(0, -9)]),
    deb(control, ["data.tar.xz", Buffer.concat([packed, Buffer.from("junk")])]),
    deb(control, ["data.tar.xz", DATA]),
    deb(control, ["data.tar.gz", packed]),
    deb(control, ["data.tar", DATA.subarray(0, 1000)]),
    deb(["control.tar", encodeTar([file("./a/b", "x")])], ["data.tar", DATA]),
    deb(["control.tar", encodeTar([file("./a", "x"), file("a", "x")])], ["data.tar", DATA]),
    deb(
      ["control.tar", encodeTar([file("./a", "", { type: "symlink", linkTarget: "b" as ByteString })])],
      ["data.tar", DATA],
    ),
  ];
  for (const bytes of bad) await expect(reading(bytes)).rejects.toMatchObject({ kind: "bad-data" });
});

test("stopping early ends xz", async () => {
  const big = await xz(encodeTar([file("./big", "x".repeat(20_000_000)), file("./b", "")]));
  const read = await readDeb(deb(["control.tar", CONTROL], ["data.tar.xz", big]));
  for await (const member of read.openData()) {
    expect(member.path as string).toBe("./big");
    break;
  }
});
