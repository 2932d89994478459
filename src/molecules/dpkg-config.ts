import { readTreeFile } from "../atoms/dpkg-database.ts";
import { type ByteString, fromBytes, joinPath, type TreePath, treePath } from "../core/bytestring.ts";
import { compileGlob } from "../core/glob.ts";
import { childrenByDirectory, type Inode, type ReadObject, type Tree } from "../core/tree.ts";

const DROP_IN_DIRECTORY: TreePath = treePath("/etc/dpkg/dpkg.cfg.d");
/** As dpkg: run-parts' names. */
const DROP_IN_NAME = /^[a-zA-Z0-9_-]+$/;

/** Whether dpkg leaves out a path that a package has as such a type. */
export type PathExcluder = (path: ByteString, type: Inode["type"]) => boolean;

type Rule = {
  readonly excludes: boolean;
  readonly matches: (text: string) => boolean;
  /** The pattern up to its first wildcard, without slashes at the end. */
  readonly start: string;
};

/**
 * Which paths dpkg would leave out of this image (dpkg(1) --path-exclude, --path-include in dpkg.cfg and dpkg.cfg.d):
 * slim images drop documentation so. The last rule that matches decides, but directories and symlinks stay that
 * could lead to something included (dpkg 1.21, src/main/filters.c).
 */
export function pathExcluder(tree: Tree, readObject: ReadObject): PathExcluder {
  const names = childrenByDirectory(tree).get(DROP_IN_DIRECTORY) ?? [];
  const files = [
    ...names.filter((name) => DROP_IN_NAME.test(name)).map((name) => joinPath(DROP_IN_DIRECTORY, name)),
    treePath("/etc/dpkg/dpkg.cfg"),
  ];
  const rules: Rule[] = [];
  for (const file of files) {
    const bytes = readTreeFile(tree, file, readObject);
    for (const line of bytes === undefined ? [] : fromBytes(bytes).split("\n")) {
      const rule = /^\s*path-(exclude|include)(?:\s*=\s*|\s+)["']?(.*?)["']?\s*$/.exec(line);
      if (rule === null) continue;
      const [, kind, pattern = ""] = rule;
      const start = pattern.replace(/[*?[\\].*$/s, "").replace(/\/+$/, "");
      rules.push({ excludes: kind === "exclude", matches: compileGlob(pattern), start });
    }
  }
  return (path, type) => {
    if (rules.findLast((rule) => rule.matches(path))?.excludes !== true) return false;
    if (type !== "dir" && type !== "symlink") return true;
    return !rules.some((rule) => !rule.excludes && path.startsWith(rule.start));
  };
}
