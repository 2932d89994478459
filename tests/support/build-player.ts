import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../src/sys/process.ts";

const BUILD = join(import.meta.dir, "../../native/build.sh");

/**
 * The player, at `target`. TEST_PLAYER names one that was built before of the same checkout, for root directories that
 * have no compiler (tests/vm).
 */
export async function buildPlayer(target: string): Promise<void> {
  const built = process.env["TEST_PLAYER"];
  if (built === undefined) await run(["sh", BUILD, target]);
  else copyFileSync(built, target);
}
