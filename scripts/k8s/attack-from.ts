/**
 * The attack of scripts/demo/attack.ts, for a process in another network: bun attack-from.ts URL
 * Its answer is JSON on stdout.
 */
import { attack, untilHealthy } from "../demo/attack.ts";

const url = process.argv[2] ?? "";
const { signal } = new AbortController();
// A Service leads to any of its pods, and for a moment to one that has gone.
for (let i = 0; i < 10; i++) await untilHealthy(url, signal);
process.stdout.write(`${JSON.stringify(await attack(url, signal))}\n`);
