import type { Bench } from "../bench.ts";
import { pullPlain } from "../plain-image.ts";

const GROUP = "Start of a container: podman run --rm --network none web /bin/true";
const OURS = "on its molecule";
const ROUNDS = 20;

/** The same Podman, runtime and image; only what the root is made of differs. Needs the main store with web. */
export async function startCase(bench: Bench): Promise<void> {
  const { place, results } = bench;
  const pulled = await pullPlain(bench, bench.images.web.source);
  const argv = (image: string) => ["podman", "run", "--rm", "--network", "none", image, "/bin/true"] as const;
  // The first start of each reads what the later ones find in memory.
  await bench.command(argv("web:1.0"), place.env);
  await bench.command(argv(pulled), place.plainEnv);
  await bench.interleave(ROUNDS, [
    async () => results.add(GROUP, OURS, (await bench.command(argv("web:1.0"), place.env)).sample),
    async () => {
      const { sample } = await bench.command(argv(pulled), place.plainEnv);
      results.add(GROUP, "on Podman's own overlay storage", sample, { against: OURS });
    },
  ]);
}
