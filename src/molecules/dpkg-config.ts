import { readTreeFile } from "../atoms/dpkg-database.ts";
import { type ByteString, fromBytes, joinPath, type TreePath, treePath } from "../core/bytestring.ts";
import { compileGlob } from "../core/glob.ts";
import { childrenByDirectory, type ReadObject, type Tree } from "../core/tree.ts";

const DROP_IN_DIRECTORY: TreePath = treePath("/etc/dpkg/dpkg.cfg.d");
/** As dpkg: run-parts' names. */
const DROP_IN_NAME = /^[a-zA-Z0-9_-]+$/;

/**
 * Which paths dpkg would leave out of this image (dpkg(1) --path-exclude, --path-include in dpkg.cfg and dpkg.cfg.d):
 * slim images drop documentation so. The last rule that matches decides.
 */
export function pathExcluder(tree: Tree, readObject: ReadObject): (path: ByteString) => boolean {
  const names = childrenByDirectory(tree).get(DROP_IN_DIRECTORY) ?? [];
  const files = [
    ...names.filter((name) => DROP_IN_NAME.test(name)).map((name) => joinPath(DROP_IN_DIRECTORY, name)),
    treePath("/etc/dpkg/dpkg.cfg"),
  ];
  const rules: { readonly excludes: boolean; readonly matches: (text: string) => boolean }[] = [];
  for (const file of files) {
    const bytes = readTreeFile(tree, file, readObject);
    for (const line of bytes === undefined ? [] : fromBytes(bytes).split("\n")) {
      const rule = /^\s*path-(exclude|include)(?:\s*=\s*|\s+)["']?(.*?)["']?\s*$/.exec(line);
      if (rule === null) continue;
      rules.push({ excludes: rule[1] === "exclude", matches: compileGlob(rule[2] ?? "") });
    }
  }
  return (path) => rules.findLast((rule) => rule.matches(path))?.excludes ?? false;
}
