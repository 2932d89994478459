/** Milliseconds. */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const PART = /([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)/g;
const WHOLE = new RegExp(`^\\+?(?:${PART.source})+$`);
/** Go keeps nanoseconds in 63 bits. */
const MOST_MS: number = 2 ** 63 / 1e6;

/**
 * A time as Go's time.ParseDuration takes it, "1m30s" or "1.5s".
 * @returns milliseconds, more than 0; undefined for other texts, for no time and for what is longer than 292 years
 */
export function parseDuration(text: string): number | undefined {
  if (text.length > 100 || !WHOLE.test(text)) return undefined;
  let total = 0;
  for (const [, number, unit = ""] of text.matchAll(PART)) total += Number(number) * (UNITS[unit] ?? 0);
  return total > 0 && total < MOST_MS ? total : undefined;
}
