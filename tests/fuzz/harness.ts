import { test } from "bun:test";
import { AtomfsError } from "../../src/core/errors.ts";
import { random } from "../support/random.ts";

/** Time for each target, in milliseconds (FUZZ_MS in the environment; default 1,500). */
const BUDGET_MS = Number(process.env["FUZZ_MS"] ?? "1500");
/** See tests/support/seed.ts. Printed on a failure, so that a run can be repeated. */
const SEED = Number(process.env["TEST_SEED"] ?? "1");

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0x20, 0x2f, 0x0a];

function mutate(seed: Uint8Array, next: () => number): Uint8Array {
  let bytes = Uint8Array.from(seed);
  for (let n = 1 + (next() % 8); n > 0; n--) {
    const at = bytes.length === 0 ? 0 : next() % bytes.length;
    switch (next() % 5) {
      case 0:
        bytes[at] = next() & 0xff;
        break;
      case 1:
        bytes[at] = INTERESTING[next() % INTERESTING.length] ?? 0;
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes.copyWithin(at, bytes.length === 0 ? 0 : next() % bytes.length);
        break;
      default:
        for (let i = at; i < Math.min(at + 4, bytes.length); i++) bytes[i] = 0xff;
    }
  }
  return bytes;
}

/**
 * Calls `target` with mutations of the seeds until the time is up. Errors of the kind AtomfsError are answers;
 * anything else that is thrown is a bug and fails the test with the input that caused it.
 */
export function fuzz(
  name: string,
  seeds: readonly Uint8Array[],
  target: (bytes: Uint8Array) => unknown,
): void {
  test(
    `fuzz: ${name}`,
    async () => {
      const next = random(SEED);
      const end = performance.now() + BUDGET_MS;
      const unchanged = [...seeds];
      while (unchanged.length > 0 || performance.now() < end) {
        const input = unchanged.shift() ?? mutate(seeds[next() % seeds.length] ?? new Uint8Array(), next);
        try {
          await target(input);
        } catch (error) {
          if (error instanceof AtomfsError) continue;
          const shown = Buffer.from(input.subarray(0, 4096)).toString("base64");
          throw new Error(`${name}: TEST_SEED=${SEED} input (base64, first 4096 bytes) ${shown}`, {
            cause: error,
          });
        }
      }
    },
    BUDGET_MS + 60_000,
  );
}
