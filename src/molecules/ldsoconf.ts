import type { ByteString, TreePath } from "../core/bytestring.ts";
import { fromBytes, parentPath, treePath } from "../core/bytestring.ts";
import { type ReadObject, readContent, type Tree } from "../core/tree.ts";
import { globTree, locate } from "./treeglob.ts";

/** A directory as the configuration spells it, with the kind of library that "=libc6" after it declares. */
export type ConfiguredDirectory = { readonly spelled: ByteString; readonly kind: "any" | "libc5" | "libc6" };

const LD_SO_CONF = treePath("/etc/ld.so.conf") as ByteString;
const KINDS: ReadonlyMap<string, "libc5" | "libc6"> = new Map([
  ["libc5", "libc5"],
  ["libc6", "libc6"],
  ["glibc2", "libc6"],
]);
/** Files that include themselves make the real ldconfig run out of descriptors; here they just end. */
const MAX_DEPTH = 16;
const MAX_FILES = 4096;
const MAX_FILE_SIZE = 1 << 20;
const MAX_DIRECTORIES = 65_536;

/** The directories that /etc/ld.so.conf and what it includes name, in order, with repetitions. */
export function readLdSoConf(
  tree: Tree,
  childrenOf: (directory: TreePath) => readonly ByteString[],
  readObject: ReadObject,
): ConfiguredDirectory[] {
  const directories: ConfiguredDirectory[] = [];
  let files = 0;
  const readFile = (path: ByteString, depth: number): void => {
    const resolved = locate(tree, path);
    const inode = resolved === undefined ? undefined : tree.get(resolved);
    if (inode?.type !== "file" || depth > MAX_DEPTH || ++files > MAX_FILES) return;
    if (inode.content.kind === "object" && inode.content.size > MAX_FILE_SIZE) return;
    const text = fromBytes(readContent(inode.content, readObject));
    for (const line of text.split("\n")) {
      // C strings: a line ends at a NUL byte as well as at a comment.
      const words = line.slice(0, endOfText(line)).replace(/^[ \t\n\v\f\r]+/, "");
      if (words === "" || /^hwcap[ \t]/i.test(words)) continue;
      if (!/^include[ \t]/.test(words)) {
        const directory = parseDirectory(words);
        if (directory !== undefined && directories.length < MAX_DIRECTORIES) directories.push(directory);
        continue;
      }
      for (const pattern of words.slice("include ".length).split(/[ \t]/)) {
        if (pattern === "") continue;
        const absolute = pattern.startsWith("/") ? pattern : `${parentPath(path as TreePath)}/${pattern}`;
        for (const found of globTree(tree, childrenOf, absolute as ByteString)) readFile(found, depth + 1);
      }
    }
  };
  readFile(LD_SO_CONF, 0);
  return directories;
}

function endOfText(line: string): number {
  const end = line.search(/[\0#]/);
  return end < 0 ? line.length : end;
}

function parseDirectory(words: string): ConfiguredDirectory | undefined {
  const equals = words.indexOf("=");
  const kind = equals < 0 ? "any" : (KINDS.get(words.slice(equals + 1)) ?? "any");
  const spelled = (equals < 0 ? words : words.slice(0, equals))
    .replace(/[ \t\n\v\f\r]+$/, "")
    .replace(/\/+$/, "") as ByteString;
  return spelled === "" ? undefined : { spelled, kind };
}
