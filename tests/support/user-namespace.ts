import { writeFileSync } from "node:fs";
import { fromBytes, fromText, ROOT, toBytes } from "../../src/core/bytestring.ts";
import type { Inode, Tree } from "../../src/core/tree.ts";

/** The tree as seen through an id map; the kernel gives capabilities the namespace's root (VFS_CAP_REVISION_3). */
export function mappedTree(tree: Tree, first: number): Tree {
  const inodes = new Map<Inode, Inode>();
  for (const [path, inode] of tree) {
    if (path === ROOT) continue;
    const xattrs = new Map(inode.xattrs);
    const name = fromText("security.capability");
    const capability = xattrs.get(name);
    if (capability !== undefined) {
      const bytes = Buffer.alloc(24);
      toBytes(capability).copy(bytes);
      bytes.writeUInt8(3, 3);
      bytes.writeUInt32LE(first, 20);
      xattrs.set(name, fromBytes(bytes));
    }
    inodes.set(inode, { ...inode, uid: inode.uid + first, gid: inode.gid + first, xattrs });
  }
  return new Map([...tree].map(([path, inode]) => [path, inodes.get(inode) ?? inode]));
}

/** A process in a user namespace that maps its first 65536 ids from `first` on. */
export async function userNamespace(first: number): Promise<AsyncDisposable & { readonly path: string }> {
  const child = Bun.spawn(["unshare", "--user", "sh", "-c", "echo ready; exec sleep 60"], { stdout: "pipe" });
  await child.stdout.getReader().read();
  for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${child.pid}/${map}`, `0 ${first} 65536\n`);
  return {
    path: `/proc/${child.pid}/ns/user`,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
