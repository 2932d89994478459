/**
 * A glob as a whole-string test: `*` any run of characters ("/" too), `?` one character, `[abc]`, `[a-z]`, `[!a]`
 * one of a set, `\` quotes. As fnmatch(3) without flags.
 */
export function compileGlob(glob: string): (text: string) => boolean {
  const pattern = new RegExp(`^${globSource(glob)}$`, "s");
  return (text) => pattern.test(text);
}

function globSource(glob: string): string {
  let source = "";
  for (let i = 0; i < glob.length; i++) {
    const c = glob.charAt(i);
    if (c === "*") {
      // Runs of stars mean one; as one they can't make the matcher backtrack without end.
      if (!source.endsWith(".*")) source += ".*";
    } else if (c === "?") source += ".";
    else if (c === "\\" && i + 1 < glob.length) source += escapeRegExp(glob.charAt(++i));
    else if (c === "[") {
      const end = glob.indexOf("]", glob.charAt(i + 1) === "!" ? i + 3 : i + 2);
      if (end < 0) {
        source += "\\[";
        continue;
      }
      const isNegated = glob.charAt(i + 1) === "!";
      const set = glob.slice(isNegated ? i + 2 : i + 1, end).replace(/[\\\]^[]/g, "\\$&");
      source += `[${isNegated ? "^" : ""}${set}]`;
      i = end;
    } else source += escapeRegExp(c);
  }
  return source;
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
}
