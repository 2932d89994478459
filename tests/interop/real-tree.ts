import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import {
  type ByteString,
  fromBytes,
  joinPath,
  ROOT,
  type TreePath,
  toBytes,
} from "../../src/core/bytestring.ts";
import type { ContentSink, Inode, MutableTree, Tree } from "../../src/core/tree.ts";
import { run } from "../../src/sys/process.ts";

/** Keeps every content inline, so that trees can be compared without a store. */
export const inlineSink: ContentSink = {
  async put(chunks, size) {
    const bytes = Buffer.concat(await Array.fromAsync(chunks));
    if (bytes.length !== size) throw new Error(`Got ${bytes.length} bytes, want ${size}`);
    return { kind: "inline", bytes: fromBytes(bytes) };
  },
};

/** A directory of this machine as a tree, as the kernel shows it. */
export async function readRealTree(directory: string): Promise<Tree> {
  const base = fromBytes(Buffer.from(directory));
  const tree: MutableTree = new Map();
  const xattrs = await readXattrs(directory);
  const seen = new Map<bigint, Inode>();
  const visit = (path: TreePath): void => {
    const real = toBytes(`${base}${path}` as ByteString);
    const stat = lstatSync(real, { bigint: true });
    const known = stat.isDirectory() ? undefined : seen.get(stat.ino);
    const inode = known ?? inodeOf(real, xattrs.get(`${base}${path}`) ?? new Map());
    seen.set(stat.ino, inode);
    tree.set(path, inode);
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(real, { encoding: "buffer" })) visit(joinPath(path, fromBytes(name)));
  };
  visit(ROOT);
  return tree;
}

function inodeOf(real: Buffer, xattrs: ReadonlyMap<ByteString, ByteString>): Inode {
  const stat = lstatSync(real, { bigint: true });
  const sec = stat.mtimeNs / 1_000_000_000n;
  const nsec = stat.mtimeNs % 1_000_000_000n;
  const attributes = {
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime:
      nsec < 0n
        ? { sec: Number(sec) - 1, nsec: Number(nsec) + 1_000_000_000 }
        : { sec: Number(sec), nsec: Number(nsec) },
    xattrs,
  };
  if (stat.isDirectory()) return { ...attributes, type: "dir" };
  if (stat.isFile())
    return { ...attributes, type: "file", content: { kind: "inline", bytes: fromBytes(readFileSync(real)) } };
  if (stat.isSymbolicLink())
    return { ...attributes, type: "symlink", target: fromBytes(readlinkSync(real, { encoding: "buffer" })) };
  if (stat.isFIFO()) return { ...attributes, type: "fifo" };
  // Linux's encoding of small device numbers.
  const [major, minor] = [Number((stat.rdev >> 8n) & 0xfffn), Number(stat.rdev & 0xffn)];
  return { ...attributes, type: stat.isCharacterDevice() ? "char" : "block", major, minor };
}

async function readXattrs(directory: string): Promise<Map<string, Map<ByteString, ByteString>>> {
  const { stdout } = await run([
    "getfattr",
    "-R",
    "-P",
    "-h",
    "-d",
    "-m",
    "-",
    "-e",
    "hex",
    "--absolute-names",
    directory,
  ]);
  const all = new Map<string, Map<ByteString, ByteString>>();
  let current: Map<ByteString, ByteString> | undefined;
  for (const line of stdout.toString("latin1").split("\n")) {
    if (line.startsWith("# file: ")) {
      const path = unescaped(line.slice(8));
      current = new Map();
      all.set(path, current);
    } else if (line !== "") {
      const [name = "", hex = ""] = line.split("=0x");
      current?.set(unescaped(name.replace(/=$/, "")) as ByteString, fromBytes(Buffer.from(hex, "hex")));
    }
  }
  return all;
}

/** getfattr writes what could confuse its own reader as backslash and three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** A tree as lines that can be compared; hard links as groups. `mtimeOf` chooses whose times count. */
export function treeLines(tree: Tree, mtimeOf: (path: TreePath) => boolean): string[] {
  const paths = [...tree.keys()].sort();
  const first = new Map<Inode, TreePath>();
  for (const path of paths) {
    const inode = tree.get(path);
    if (inode !== undefined && !first.has(inode)) first.set(inode, path);
  }
  return paths.map((path) => {
    const inode = tree.get(path) as Inode;
    const { mtime, xattrs, ...others } = inode;
    const rest = Object.entries(others).sort();
    const time = mtimeOf(path) ? mtime : null;
    return JSON.stringify([path, rest, time, [...xattrs].sort(), first.get(inode)]);
  });
}
