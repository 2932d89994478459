/**
 * A glob as a test of whole strings: `*` any run of characters ("/" too), `?` one character, `[abc]`, `[a-z]`, `[!a]`
 * one of a set, `\` quotes. As fnmatch(3) without flags. Patterns come from images, too: a match takes at most the
 * product of the two lengths, and no pattern is an error.
 */
export function compileGlob(glob: string): (text: string) => boolean {
  const elements = parsePattern(glob);
  return (text) => matches(elements, text);
}

/** One pattern element: a character, `?`, `*`, or a set. */
type Element =
  | { readonly kind: "character"; readonly character: string }
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
      elements.push({ kind: "character", character: pattern.charAt(++i) });
    else if (char === "[") {
      const set = parseSet(pattern, i);
      if (set === undefined) elements.push({ kind: "character", character: char });
      else {
        elements.push(set.element);
        i = set.end;
      }
    } else elements.push({ kind: "character", character: char });
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
    case "character":
      return element.character === char;
    case "set":
      return element.ranges.some(([from, to]) => from <= char && char <= to) !== element.negated;
    default:
      return element.kind === "any";
  }
}

function matches(elements: readonly Element[], text: string): boolean {
  let at = 0;
  let element = 0;
  let retryAt = -1;
  let retryElement = -1;
  while (at < text.length) {
    const current = elements[element];
    if (current?.kind === "many") {
      retryAt = at;
      retryElement = ++element;
    } else if (current !== undefined && matchesOne(current, text.charAt(at))) {
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
