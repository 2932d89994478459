/** One character, or a run of any, of a shell pattern. */
export type PatternItem =
  | { readonly kind: "character"; readonly character: string }
  | { readonly kind: "any" | "run" };

/** Whether all of `text` matches; takes at most length of text times length of pattern steps. */
export function matchesPattern(pattern: readonly PatternItem[], text: string): boolean {
  let at = 0;
  let item = 0;
  let lastRun = -1;
  let runEnd = 0;
  while (at < text.length) {
    const next = pattern[item];
    if (next?.kind === "run") {
      lastRun = item++;
      runEnd = at;
    } else if (next?.kind === "any" || (next?.kind === "character" && next.character === text[at])) {
      item++;
      at++;
    } else if (lastRun >= 0) {
      item = lastRun + 1;
      at = ++runEnd;
    } else return false;
  }
  return pattern.slice(item).every((rest) => rest.kind === "run");
}

/** The items of an unquoted pattern text; undefined if it has a bracket expression. */
export function patternItems(text: string): PatternItem[] | undefined {
  if (/[[\\]/.test(text)) return undefined;
  return [...text].map((character) =>
    character === "*"
      ? { kind: "run" }
      : character === "?"
        ? { kind: "any" }
        : { kind: "character", character },
  );
}

/** The items that match exactly this text. */
export function literalItems(text: string): PatternItem[] {
  return [...text].map((character) => ({ kind: "character", character }));
}
