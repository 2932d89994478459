import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type ByteString, fromText, ROOT, type TreePath, treePath } from "../../src/core/bytestring.ts";
import type { VerityDigest } from "../../src/core/digest.ts";
import {
  DEFAULT_ROOT,
  type DirInode,
  EMPTY_XATTRS,
  type FileContent,
  type FileInode,
  type Inode,
  type Tree,
} from "../../src/core/tree.ts";
import { verityDigest } from "../../src/core/verity.ts";
import { objectPath } from "../../src/formats/erofs/node.ts";
import { writeErofs } from "../../src/formats/erofs/writer.ts";
import { setTimes } from "../../src/sys/files.ts";
import { unmountAt } from "../../src/sys/mount.ts";
import { readMountinfo } from "../../src/sys/mountinfo.ts";

/** Objects, molecules and places for uppers on a disk filesystem; removed with all mounts in it when disposed. */
export class MoleculeStore implements Disposable {
  readonly directory: string = mkdtempSync("/var/tmp/atomfs-mounts-");
  readonly objects: string = join(this.directory, "objects");
  readonly trees: string = join(this.directory, "trees");
  readonly run: string = join(this.directory, "run");

  constructor() {
    for (const name of [this.objects, this.trees, this.run]) mkdirSync(name, { mode: 0o700 });
  }

  objectPath(digest: VerityDigest): string {
    return join(this.objects, objectPath(digest));
  }

  putObject(bytes: Uint8Array): FileContent {
    const digest = verityDigest(bytes);
    const path = this.objectPath(digest);
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    writeFileSync(path, bytes);
    chmodSync(path, 0o400);
    return { kind: "object", digest, size: bytes.length };
  }

  readonly readObject = (digest: VerityDigest): Uint8Array => readFileSync(this.objectPath(digest));

  putMolecule(tree: Tree): { readonly molecule: VerityDigest; readonly erofsPath: string } {
    const image = writeErofs(tree);
    const molecule = verityDigest(image);
    const erofsPath = join(this.directory, `${molecule}.erofs`);
    writeFileSync(erofsPath, image);
    return { molecule, erofsPath };
  }

  newDirectory(name: string): string {
    return mkdtempSync(join(this.directory, `${name}-`));
  }

  newUpper(): { readonly upperdir: string; readonly workdir: string } {
    const upperdir = this.newDirectory("upper");
    // An overlay's root shows the attributes of its upper.
    chmodSync(upperdir, 0o755);
    setTimes(Buffer.from(upperdir), MTIME);
    return { upperdir, workdir: this.newDirectory("work") };
  }

  [Symbol.dispose](): void {
    for (const { target } of readMountinfo().reverse()) {
      if (target.startsWith(this.directory)) unmountAt(target, { detach: true });
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const MTIME = { sec: 1_600_000_000, nsec: 123_456_789 };

function attributes(mode: number, xattrs: Readonly<Record<string, string>> = {}): Omit<DirInode, "type"> {
  const pairs = Object.entries(xattrs).map(([k, v]) => [fromText(k), v as ByteString] as const);
  return { mode, uid: 0, gid: 0, mtime: MTIME, xattrs: pairs.length === 0 ? EMPTY_XATTRS : new Map(pairs) };
}

function inline(text: string, mode = 0o644): FileInode {
  return { type: "file", ...attributes(mode), content: { kind: "inline", bytes: text as ByteString } };
}

/** One of everything that an image can hold, with awkward names, owners, times and links. */
export function richTree(store: MoleculeStore): Tree {
  const big = Buffer.alloc(5_000_001, "0123456789abcdefg");
  const linked: Inode = {
    ...attributes(0o4755, { "user.note": "caf\xe9\0x", "security.capability": CAPABILITY }),
    ...{ type: "file", uid: 1000, gid: 70_000, mtime: { sec: 1_234_567_890, nsec: 1 } },
    content: store.putObject(Buffer.alloc(3000, "linked")),
  };
  const inlineLinked = inline("two names");
  const dir: Inode = { type: "dir", ...attributes(0o755) };
  return new Map<TreePath, Inode>([
    [ROOT, { ...DEFAULT_ROOT, mode: 0o755, mtime: MTIME }],
    [treePath("/bin"), { type: "symlink", ...attributes(0o777), target: fromText("usr/bin") }],
    [treePath("/dev"), { type: "dir", ...attributes(0o755) }],
    [treePath("/dev/null"), { type: "char", ...attributes(0o666), major: 1, minor: 3 }],
    [treePath("/dev/disk"), { type: "block", ...attributes(0o660), major: 259, minor: 70_000 }],
    [treePath("/dev/fifo"), { type: "fifo", ...attributes(0o600) }],
    [treePath("/dev/socket"), { type: "socket", ...attributes(0o755) }],
    [treePath("/etc"), { type: "dir", ...attributes(0o750, { "user.dir": "yes" }), gid: 42 }],
    [treePath("/etc/empty"), inline("")],
    [treePath("/etc/hostname"), inline("molecule\n", 0o600)],
    [treePath("/etc/mtab"), { type: "symlink", ...attributes(0o777), target: fromText("/proc/mounts") }],
    [treePath("/tmp"), { type: "dir", ...attributes(0o1777), mtime: { sec: -7, nsec: 999_999_999 } }],
    [treePath("/usr"), dir],
    [treePath("/usr/bin"), { type: "dir", ...attributes(0o755) }],
    [treePath("/usr/bin/one"), linked],
    [treePath("/usr/bin/two"), linked],
    [treePath("/usr/small-one"), inlineLinked],
    [treePath("/usr/small-two"), inlineLinked],
    [treePath("/usr/lib"), { type: "dir", ...attributes(0o755) }],
    [treePath("/usr/lib/big.so"), { type: "file", ...attributes(0o644), content: store.putObject(big) }],
    ["/usr/lib/\xff\xfe name\n" as TreePath, inline("bytes")],
  ]);
}

/** CAP_NET_RAW, permitted and effective, as VFS_CAP_REVISION_2. */
const CAPABILITY = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
