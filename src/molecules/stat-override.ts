import { type DpkgDatabase, readTreeFile } from "../atoms/dpkg-database.ts";
import { type ByteString, fromBytes, treePath } from "../core/bytestring.ts";
import type { Inode, ReadObject, Tree } from "../core/tree.ts";

/** What dpkg-statoverride(1) in the image says of a packaged path goes before what the package says. */
export function ownerOverride(
  tree: Tree,
  spelled: ByteString,
  inode: Inode,
  context: { readonly database: DpkgDatabase; readonly readObject: ReadObject },
): Inode {
  const override = context.database.overrides.find((each) => each.path === spelled);
  if (override === undefined) return inode;
  const uid = numericId(tree, "/etc/passwd", override.user, context.readObject);
  const gid = numericId(tree, "/etc/group", override.group, context.readObject);
  return { ...inode, mode: override.mode, uid: uid ?? inode.uid, gid: gid ?? inode.gid };
}

/** The third field of the line whose first is the name; "#12" is the id 12 itself. */
function numericId(
  tree: Tree,
  database: string,
  name: ByteString,
  readObject: ReadObject,
): number | undefined {
  if (name.startsWith("#")) return Number(name.slice(1));
  const bytes = readTreeFile(tree, treePath(database), readObject);
  for (const line of bytes === undefined ? [] : fromBytes(bytes).split("\n")) {
    const [first, , id] = line.split(":");
    if (first === name && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  return undefined;
}
