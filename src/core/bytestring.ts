declare const byteString: unique symbol;
declare const canonical: unique symbol;

/**
 * Bytes as a string with one UTF-16 unit (0 to 255) per byte, "latin1". Names in tars, packages and filesystems are
 * bytes, not text; in this form they can be map keys, be sliced and searched, and the `<` operator sorts them in
 * unsigned byte order. Never print one: use `displayText`. Never compare with `localeCompare`.
 */
export type ByteString = string & { readonly [byteString]: true };

/**
 * A canonical absolute path inside a tree: "" is the root, every other path is "/" + names joined by "/";
 * no name is empty, "." or "..", none contains NUL. Only `parseTreePath` and `joinPath` make one.
 */
export type TreePath = ByteString & { readonly [canonical]: true };

export const ROOT: TreePath = "" as TreePath;

export function fromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1") as ByteString;
}

export function toBytes(text: ByteString): Buffer {
  return Buffer.from(text, "latin1");
}

/** Text from the program's own world (a literal, a command line) as its UTF-8 bytes. */
export function fromText(text: string): ByteString {
  return fromBytes(Buffer.from(text, "utf8"));
}

/** For people: UTF-8 where the bytes are UTF-8 without control characters, `\xHH` for all other bytes. */
export function displayText(bytes: ByteString): string {
  const text = toBytes(bytes).toString("utf8");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals obey control characters, so they are escaped
  if (!/[\u0000-\u001f\u007f-\u009f\ufffd]/.test(text)) return text;
  return bytes.replace(/[^\x20-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** Byte order: negative, 0 or positive. */
export function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Any spelling of a path ("./a//b/", "/a/b", "a/b") to its canonical form, purely by text.
 * Returns undefined for a path that could leave the root ("..") or holds a NUL: the caller refuses it.
 */
export function parseTreePath(text: ByteString): TreePath | undefined {
  if (text.includes("\0")) return undefined;
  let path = "";
  for (const name of text.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") return undefined;
    path += `/${name}`;
  }
  return path as TreePath;
}

/** A path from a literal of this program. */
export function treePath(literal: string): TreePath {
  const path = parseTreePath(fromText(literal));
  if (path === undefined) throw new TypeError(`Not a tree path: ${literal}`);
  return path;
}

export function joinPath(directory: TreePath, name: ByteString): TreePath {
  return `${directory}/${name}` as TreePath;
}

/** The directory of a path; the root is its own parent. */
export function parentPath(path: TreePath): TreePath {
  return path.slice(0, Math.max(0, path.lastIndexOf("/"))) as TreePath;
}

export function baseName(path: TreePath): ByteString {
  return path.slice(path.lastIndexOf("/") + 1) as ByteString;
}
