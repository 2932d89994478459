/** What a validation program said of one thing that it looked at. */
export type Point = { readonly name: string; readonly result: "passed" | "failed" | "skipped" };

const LINE = /^(not )?ok\b[ \t]*[0-9]*[ \t]*(?:-[ \t]*)?(.*)$/;
const DIRECTIVE = /(?:^|[ \t])#[ \t]*(?:skip|todo)\b.*$/i;

/**
 * The points of a TAP stream, in their order; a name that comes again gets its number, because numbers of points shift when one
 * more is reported. A program that plans no point at all says what it found wrong in a diagnostic: that is its point.
 */
export function parseTap(text: string): Point[] {
  const seen = new Map<string, number>();
  const points: Point[] = [];
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const words = match[2] ?? "";
    const plain = words.replace(DIRECTIVE, "").trim();
    const count = (seen.get(plain) ?? 0) + 1;
    seen.set(plain, count);
    const name = count === 1 ? plain : `${plain} (${count})`;
    const result = plain !== words.trim() ? "skipped" : match[1] === undefined ? "passed" : "failed";
    points.push({ name, result });
  }
  if (!/^1\.\.0$/m.test(text)) return points;
  return [{ name: "reports no error", result: /^[ \t]+"error": "./m.test(text) ? "failed" : "passed" }];
}
