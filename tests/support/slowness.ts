/**
 * How many times slower than a developer's machine this one is: TEST_SLOWNESS, 1 if it is not set. Every limit of a test
 * counts with it, because a virtual machine without hardware support takes its time.
 */
const SLOWNESS: number = readSlowness(process.env["TEST_SLOWNESS"]);

function readSlowness(text: string | undefined): number {
  const value = Number(text ?? "1");
  if (value >= 1 && value <= 100) return value;
  throw new Error(`TEST_SLOWNESS=${text}: want a number from 1 to 100`);
}

/** A limit of time for this machine, in the unit it was given in. */
export function patience(limit: number): number {
  return limit * SLOWNESS;
}

/** How often something is tried that goes wrong only now and then: as often as the time allows, at least three times. */
export function repetitions(often: number): number {
  return Math.max(3, Math.ceil(often / SLOWNESS));
}
