import { expect, test } from "bun:test";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  type ByteString,
  fromBytes,
  fromText,
  ROOT,
  type TreePath,
  toBytes,
} from "../../src/core/bytestring.ts";
import { contentSize, type Inode, type Tree } from "../../src/core/tree.ts";
import { FILE_TYPES } from "../../src/formats/erofs/layout.ts";
import { isWhiteout } from "../../src/formats/erofs/node.ts";
import { writeErofs } from "../../src/formats/erofs/writer.ts";
import { run } from "../../src/sys/process.ts";
import { anyTree } from "../arbitrary/tree.ts";

type Seen = {
  readonly mode: number;
  readonly owner: string;
  readonly mtimeNs: bigint;
  readonly size: number | undefined;
  readonly bytes: ByteString | undefined;
};

/** Linux takes 2^32 - 1 for "no id", and lets not even root use what has it; the largest true id is one less. */
function withTrueIds(tree: Tree): Tree {
  const changed = new Map<Inode, Inode>();
  for (const inode of tree.values()) {
    const [uid, gid] = [Math.min(inode.uid, 0xfffffffe), Math.min(inode.gid, 0xfffffffe)];
    changed.set(inode, { ...inode, uid, gid });
  }
  return new Map([...tree].map(([path, inode]) => [path, changed.get(inode) ?? inode]));
}

function expected(inode: Inode): Seen {
  const { uid, gid, mtime } = inode;
  const type = isWhiteout(inode) ? "file" : inode.type;
  const inline = inode.type === "file" && inode.content.kind === "inline" ? inode.content.bytes : undefined;
  return {
    mode: FILE_TYPES[type].mode | inode.mode,
    owner: `${uid}:${gid}`,
    mtimeNs: BigInt(mtime.sec) * 1_000_000_000n + BigInt(mtime.nsec),
    size: inode.type === "file" ? contentSize(inode.content) : undefined,
    bytes: inode.type === "symlink" ? inode.target : inline,
  };
}

function seen(file: Buffer, inode: Inode): Seen {
  const stat = lstatSync(file, { bigint: true });
  const isInline = inode.type === "file" && inode.content.kind === "inline";
  const link = inode.type === "symlink" ? fromBytes(readlinkSync(file, { encoding: "buffer" })) : undefined;
  return {
    mode: Number(stat.mode),
    owner: `${stat.uid}:${stat.gid}`,
    mtimeNs: stat.mtimeNs,
    size: inode.type === "file" ? Number(stat.size) : undefined,
    bytes: isInline ? fromBytes(readFileSync(file)) : link,
  };
}

test("the kernel shows the tree that was written, hard links and large directories included", async () => {
  const directory = mkdtempSync(join(tmpdir(), "atomfs-erofs-mount-"));
  const mountpoint = join(directory, "mnt");
  const image = join(directory, "image");
  mkdirSync(mountpoint);
  const trees: Tree[] = fc.sample(anyTree, { seed: 11, numRuns: 12 }).map(withTrueIds);
  try {
    for (const tree of trees) {
      writeFileSync(image, writeErofs(tree));
      await run(["mount", "-t", "erofs", "-o", "ro,loop", image, mountpoint]);
      try {
        const inodeNumbers = new Map<Inode, bigint>();
        for (const [path, inode] of tree) {
          const file = hostPath(mountpoint, path);
          expect({ path, ...seen(file, inode) }).toEqual({ path, ...expected(inode) });
          const { ino } = lstatSync(file, { bigint: true });
          expect(inodeNumbers.get(inode) ?? ino).toBe(ino);
          inodeNumbers.set(inode, ino);
        }
      } finally {
        await run(["umount", mountpoint]);
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 60_000);

function hostPath(mountpoint: string, path: TreePath): Buffer {
  return toBytes((fromText(mountpoint) + (path === ROOT ? "/" : path)) as ByteString);
}
