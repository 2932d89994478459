import { expect, test } from "bun:test";
import { isGcDue } from "./gc-record.ts";

const HOUR = 3_600_000;
const NOW = new Date("2026-11-24T12:00:00.000Z");
const lastAt = (at: string) => ({ at, images: 0, files: 0, bytes: 0 });

test.each([
  ["never", undefined, true],
  ["an hour ago", lastAt("2026-11-24T11:00:00.000Z"), true],
  ["less than that ago", lastAt("2026-11-24T11:00:00.001Z"), false],
  ["later than now: the clock was set back", lastAt("2026-11-25T00:00:00.000Z"), true],
])("gc came to its end %s", (_, last, isDue) => expect(isGcDue(last, HOUR, NOW)).toBe(isDue));
