import { InvalidArgumentError } from "commander";

const MILLISECONDS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const BYTES = { kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 } as const;

/** "90s", "30m", "24h", "7d" or "0", as milliseconds. For commander. @throws InvalidArgumentError */
export function parseDuration(text: string): number {
  return parseQuantity(text, MILLISECONDS, "a time, as 90s, 30m, 24h or 7d");
}

/** "500MB", "1GB" or "0", as bytes; decimal, as `bytesText` writes them. For commander. @throws InvalidArgumentError */
export function parseByteCount(text: string): number {
  return parseQuantity(text, BYTES, "a size, as 500MB or 1GB");
}

/** "15%", "15" or "0", as 15 and 0: whole percents up to 100. For commander. @throws InvalidArgumentError */
export function parsePercent(text: string): number {
  const [, digits] = /^(\d{1,3})%?$/.exec(text) ?? [];
  if (digits === undefined || Number(digits) > 100) throw new InvalidArgumentError("Want a share, as 15%.");
  return Number(digits);
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>, wanted: string): number {
  if (text === "0") return 0;
  const [, digits = "", unit = ""] = /^(\d{1,9})([a-zA-Z]+)$/.exec(text) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (factor === undefined) throw new InvalidArgumentError(`Want ${wanted}.`);
  return Number(digits) * factor;
}
