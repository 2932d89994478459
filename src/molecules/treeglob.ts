import { type ByteString, compareBytes, joinPath, ROOT, type TreePath } from "../core/bytestring.ts";
import { resolvePath } from "../core/resolve.ts";
import type { Tree } from "../core/tree.ts";

/** Bound for what one pattern may match. */
const MAX_MATCHES = 4096;

/** One pattern element: a byte, `?`, `*`, or a set of bytes. */
type Element =
  | { readonly kind: "byte"; readonly byte: string }
  | { readonly kind: "any" | "many" }
  | {
      readonly kind: "set";
      readonly negated: boolean;
      readonly ranges: readonly (readonly [string, string])[];
    };

function parsePattern(pattern: string): Element[] {
  const elements: Element[] = [];
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern.charAt(i);
    if (char === "*") elements.push({ kind: "many" });
    else if (char === "?") elements.push({ kind: "any" });
    else if (char === "\\" && i + 1 < pattern.length)
      elements.push({ kind: "byte", byte: pattern.charAt(++i) });
    else if (char === "[") {
      const set = parseSet(pattern, i);
      if (set === undefined) elements.push({ kind: "byte", byte: char });
      else {
        elements.push(set.element);
        i = set.end;
      }
    } else elements.push({ kind: "byte", byte: char });
  }
  return elements;
}

function parseSet(pattern: string, start: number): { element: Element; end: number } | undefined {
  const negated = pattern[start + 1] === "!" || pattern[start + 1] === "^";
  const first = start + (negated ? 2 : 1);
  // A "]" that comes first is a member.
  const end = pattern.indexOf("]", first + 1);
  if (end < 0) return undefined;
  const ranges: [string, string][] = [];
  for (let i = first; i < end; i++) {
    const from = pattern.charAt(i);
    if (pattern[i + 1] === "-" && i + 2 < end) {
      ranges.push([from, pattern.charAt(i + 2)]);
      i += 2;
    } else ranges.push([from, from]);
  }
  return { element: { kind: "set", negated, ranges }, end };
}

function matchesOne(element: Element, char: string): boolean {
  switch (element.kind) {
    case "byte":
      return element.byte === char;
    case "set":
      return element.ranges.some(([from, to]) => from <= char && char <= to) !== element.negated;
    default:
      return element.kind === "any";
  }
}

/** Matches a whole name; time is bounded by the product of the two lengths. */
export function matchesName(pattern: ByteString, name: ByteString): boolean {
  if (name.startsWith(".") && !pattern.startsWith(".")) return false;
  const elements = parsePattern(pattern);
  let at = 0;
  let element = 0;
  let retryAt = -1;
  let retryElement = -1;
  while (at < name.length) {
    const current = elements[element];
    if (current?.kind === "many") {
      retryAt = at;
      retryElement = ++element;
    } else if (current !== undefined && matchesOne(current, name.charAt(at))) {
      at++;
      element++;
    } else if (retryAt >= 0) {
      at = ++retryAt;
      element = retryElement;
    } else return false;
  }
  while (elements[element]?.kind === "many") element++;
  return element === elements.length;
}

/**
 * What the C library's `glob` finds inside the tree for an absolute pattern, sorted by bytes. A name without pattern
 * characters matches if it exists.
 */
export function globTree(
  tree: Tree,
  childrenOf: (directory: TreePath) => readonly ByteString[],
  pattern: ByteString,
): ByteString[] {
  let found: ByteString[] = ["" as ByteString];
  for (const part of pattern.split("/") as ByteString[]) {
    if (part === "") continue;
    const next: ByteString[] = [];
    for (const prefix of found) {
      const directory = locate(tree, prefix);
      if (directory === undefined || tree.get(directory)?.type !== "dir") continue;
      if (!/[*?[\\]/.test(part)) {
        const path = `${prefix}/${part}` as ByteString;
        const target = locate(tree, path);
        if (target !== undefined && tree.has(target)) next.push(path);
        continue;
      }
      for (const name of childrenOf(directory)) {
        if (matchesName(part, name)) next.push(`${prefix}/${name}` as ByteString);
      }
    }
    found = next.sort(compareBytes).slice(0, MAX_MATCHES);
  }
  return found;
}

/**
 * Where a path as somebody spelled it ("/lib/../x//y", "x/y" meaning "/x/y") leads to, all symlinks followed.
 * @returns undefined for a symlink loop or a way through something that is no directory
 */
export function locate(tree: Tree, spelled: ByteString): TreePath | undefined {
  // resolvePath takes any spelling: it skips "." and empty names and stops ".." at the root.
  return resolvePath(tree, (spelled.startsWith("/") ? spelled : joinPath(ROOT, spelled)) as TreePath, true);
}
