import { expect, test } from "bun:test";
import { linkSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ByteString, displayText, fromText } from "../../src/core/bytestring.ts";
import { AtomfsError } from "../../src/core/errors.ts";
import type { TarMember } from "../../src/formats/tar/member.ts";
import { walkLayer } from "../../src/sources/layer-directory.ts";
import { SharedFiles } from "../../src/sources/shared-files.ts";
import { AdoptingSink, ChunkOrigins, SharedDirectory } from "../../src/store/adopt.ts";
import { run } from "../../src/sys/process.ts";
import { setXattr } from "../../src/sys/xattr.ts";
import { TemporaryStore } from "../support/temporary-store.ts";

/** Needs root: device nodes and trusted.* attributes. */
async function walk(fill: (root: string) => void | Promise<void>): Promise<string[]> {
  const root = mkdtempSync("/var/tmp/atomfs-layer-");
  try {
    await fill(root);
    using temporary = new TemporaryStore();
    using staging = temporary.store.beginObjects();
    using directory = new SharedDirectory(root, staging);
    using files = new SharedFiles(directory, new ChunkOrigins());
    const members: string[] = [];
    for await (const member of walkLayer(directory, files)) members.push(shown(member));
    return members;
  } finally {
    rmSync(root, { recursive: true });
  }
}

function shown({ type, path, linkTarget, xattrs, size }: TarMember): string {
  const attributes = [...xattrs].map(([key, value]) => `${key}=${value}`).sort();
  const target = linkTarget === "" ? [] : [`-> ${linkTarget}`];
  return [type, displayText(path), ...(size > 0 ? [size] : []), ...target, ...attributes].join(" ");
}

function mark(path: string, key: string, value: string): void {
  setXattr(path, fromText(key), value as ByteString);
}

test("whiteouts and opaque marks in every form of overlay", async () => {
  const members = await walk(async (root) => {
    for (const name of ["opaque", "plain", "holder"]) mkdirSync(join(root, name));
    for (const name of ["opaque/in", "holder/hidden", "plain/kept"]) writeFileSync(join(root, name), "");
    await run(["mknod", join(root, "plain/gone"), "c", "0", "0"]);
    await run(["mknod", join(root, "plain/real"), "c", "0", "1"]);
    mark(join(root, "opaque"), "trusted.overlay.opaque", "y");
    mark(join(root, "opaque"), "trusted.overlay.origin", "x");
    mark(join(root, "holder"), "trusted.overlay.opaque", "x");
    mark(join(root, "holder/hidden"), "trusted.overlay.whiteout", "y");
  });
  expect(members).toEqual([
    "dir .",
    "dir /holder",
    "file /holder/.wh.hidden",
    "dir /opaque",
    "file /opaque/.wh..wh..opq",
    "file /opaque/in",
    "dir /plain",
    "file /plain/.wh.gone",
    "file /plain/kept",
    "char /plain/real",
  ]);
});

test("attributes of the image stay, those of the host do not", async () => {
  const members = await walk((root) => {
    writeFileSync(join(root, "a"), "a");
    mark(join(root, "a"), "user.note", "yes");
    mark(join(root, "a"), "trusted.overlay.overlay.opaque", "y");
    mark(join(root, "a"), "trusted.overlay.uuid", "u");
    linkSync(join(root, "a"), join(root, "b"));
    symlinkSync("/etc", join(root, "link"));
  });
  expect(members).toEqual([
    "dir .",
    "file /a 1 trusted.overlay.opaque=y user.note=yes",
    "hardlink /b -> /a trusted.overlay.opaque=y user.note=yes",
    "symlink /link -> /etc",
  ]);
});

test.each([
  ["trusted.overlay.metacopy", ""],
  ["trusted.overlay.redirect", "/elsewhere"],
  ["user.containers.override_stat", "0:0:0755"],
])("a file whose %s says that it is not all there is refused", async (key, value) => {
  const walking = walk((root) => {
    writeFileSync(join(root, "a"), "a");
    mark(join(root, "a"), key, value);
  });
  const error = await walking.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AtomfsError);
  expect(error).toMatchObject({ kind: "unsupported" });
});

test("a whiteout by name cannot be in an unpacked layer", async () => {
  const walking = walk((root) => writeFileSync(join(root, ".wh.a"), ""));
  expect(await walking.catch((error: unknown) => error)).toMatchObject({ kind: "bad-data" });
});

test("only whole files are adopted, and what is read twice is one object", async () => {
  const root = mkdtempSync("/var/tmp/atomfs-layer-");
  try {
    writeFileSync(join(root, "a"), "a".repeat(100));
    using temporary = new TemporaryStore();
    using staging = temporary.store.beginObjects();
    using directory = new SharedDirectory(root, staging);
    const origins = new ChunkOrigins();
    using files = new SharedFiles(directory, origins);
    const sink = new AdoptingSink(staging, origins);
    const path = "/a" as Parameters<SharedFiles["read"]>[0];
    const first = await sink.put(files.read(path, 100), 100);
    expect(await sink.put(files.read(path, 100), 100)).toEqual(first);
    expect([staging.newBytes, staging.adoptedBytes, staging.sharedBytes]).toEqual([100, 100, 100]);
    expect(lstatSync(join(root, "a")).nlink).toBe(2);
    for (const bytes of [Buffer.alloc(100), Buffer.alloc(99)])
      expect(await sink.put([bytes], bytes.length).catch((error: unknown) => error)).toMatchObject({
        kind: "bad-data",
      });
    const part = (await Array.fromAsync(files.read(path, 100)))[0]?.subarray(10) ?? Buffer.alloc(0);
    expect(await sink.put([part], 90).catch((error: unknown) => error)).toMatchObject({ kind: "bad-data" });
    await expect(files.read(path, 99).next()).rejects.toMatchObject({ kind: "bad-data" });
  } finally {
    rmSync(root, { recursive: true });
  }
});
